"""What the log says of a run's seal and close, and the secret that it binds, reveals, and tells nobody before."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import select, text

from activities.messages.run import CloseRun, Sealed, Step
from adapters.ledger import audits, log
from adapters.ledger.tables.commitments import LogLeafRow, SecretRow
from adapters.ledger.values import ReceivedCommitment
from protocol.audits import AuditSecret
from protocol.commitment import Commitment
from protocol.identity import PrivateKey
from protocol.names import format_stamp, format_time
from protocol.receipt import commitments_digest
from tests.activities.ledger.builders import events_of
from tests.activities.validator.world import ALICE, BOB, HINDCAST, VALIDATOR, Opened, Validator, do


def commit(validator: Validator, opened: Opened, key: PrivateKey, late: timedelta = timedelta(0)) -> str:
    from adapters.ledger.commitments import record_commitment

    offer = opened.offer(key)
    received = ReceivedCommitment(
        commitment=Commitment.parse(offer.commitment),
        signature=offer.signature,
        received_at=opened.window.commit_deadline + late,
        channel="push",
    )
    with validator.ledger.begin() as session:
        return record_commitment(session, VALIDATOR, received).commitment_digest


def seal(validator: Validator, opened: Opened) -> Sealed:
    at = opened.window.commit_deadline + timedelta(minutes=1)
    validator.clock.advance(timedelta(milliseconds=1))
    return do(validator.runs.seal_run, Step(run_id=opened.run.run_id, at=at))


def close(validator: Validator, opened: Opened) -> Any:
    at = opened.run.close_by
    return do(validator.runs.close_run, CloseRun(run_id=opened.run.run_id, at=at, void_reason="no_lead"))


def entry(validator: Validator, opened: Opened, kind: str) -> dict[str, Any]:
    with validator.ledger.read() as session:
        found = log.entry_of(session, opened.run.run_id, kind)
    assert found is not None
    return found


def secret(validator: Validator, opened: Opened, key: PrivateKey = VALIDATOR) -> AuditSecret | None:
    with validator.ledger.read() as session:
        return audits.secret_of(session, key, opened.run.run_id)


def test_the_seal_logs_who_was_in_time_and_binds_the_secret_of_its_audits(validator: Validator) -> None:
    opened = validator.open()
    in_time = commit(validator, opened, ALICE)
    commit(validator, opened, BOB, late=timedelta(milliseconds=1))
    seal(validator, opened)
    drawn = secret(validator, opened)
    assert drawn is not None
    assert entry(validator, opened, "run_sealed") == {
        "kind": "run_sealed",
        "network": "test",
        "run_id": opened.run.run_id,
        "commit_deadline": format_time(opened.window.commit_deadline),
        "accepted": 1,
        "commitments_digest": commitments_digest([in_time]),
        "audit_secret_hash": drawn.digest,
        "recorded_at": format_stamp(validator.clock.now()),
    }


def test_a_seal_again_draws_nothing_and_logs_nothing(validator: Validator) -> None:
    opened = validator.open()
    commit(validator, opened, ALICE)
    first = seal(validator, opened)
    drawn, leaf = secret(validator, opened), entry(validator, opened, "run_sealed")
    assert seal(validator, opened) == first
    again = secret(validator, opened)
    assert drawn is not None and again is not None and again.raw == drawn.raw
    assert entry(validator, opened, "run_sealed") == leaf


def test_the_close_logs_the_digests_and_reveals_the_secret_once(validator: Validator) -> None:
    opened = validator.open()
    seal(validator, opened)
    drawn = secret(validator, opened)
    result = close(validator, opened)
    closed = entry(validator, opened, "run_closed")
    assert drawn is not None and closed["audit_secret"] == drawn.raw.hex()
    assert (
        AuditSecret(bytes.fromhex(closed["audit_secret"])).digest
        == entry(validator, opened, "run_sealed")["audit_secret_hash"]
    )
    assert (closed["outcome"], closed["facts_digest"]) == ("void", result.facts_digest)
    assert close(validator, opened) == result
    with validator.ledger.read() as session:
        assert session.scalars(select(LogLeafRow.kind).order_by(LogLeafRow.leaf_index)).all() == [
            "run_opened",
            "run_sealed",
            "run_closed",
        ]


def test_a_hindcast_draws_a_secret_too(validator: Validator) -> None:
    opened = validator.open(HINDCAST)
    seal(validator, opened)
    assert secret(validator, opened) is not None


def test_a_run_that_was_never_sealed_reveals_nothing(validator: Validator) -> None:
    opened = validator.open()
    close(validator, opened)
    assert entry(validator, opened, "run_closed")["audit_secret"] is None


def test_a_draw_that_is_retried_is_one_row_and_one_hash(validator: Validator) -> None:
    """AT-S3."""
    run_id, digests = validator.open().run.run_id, set()
    for _ in range(3):
        with validator.ledger.begin() as session:
            digests.add(audits.draw_secret(session, VALIDATOR, run_id))
    with validator.ledger.read() as session:
        assert [row.digest for row in session.scalars(select(SecretRow))] == list(digests)


def test_a_secret_drawn_with_another_key_is_lost_and_the_run_closes_all_the_same(
    validator: Validator, caplog: Any
) -> None:
    opened = validator.open()
    with validator.ledger.begin() as session:
        audits.draw_secret(session, ALICE, opened.run.run_id)
    seal(validator, opened)
    assert secret(validator, opened) is None
    assert close(validator, opened).outcome == "void"
    assert "is lost" in caplog.text


def test_before_the_close_no_table_and_no_event_shows_the_secret(validator: Validator) -> None:
    opened = validator.open()
    answer = seal(validator, opened)
    drawn = secret(validator, opened)
    assert drawn is not None
    with validator.ledger.read() as session:
        told = [event.data for event in events_of(session, opened.run.run_id)]
        leaves = session.scalars(select(LogLeafRow.entry)).all()
        rows = [tuple(row) for row in session.execute(text("SELECT * FROM run_secrets"))]
        assert session.scalars(select(SecretRow.digest)).all() == [drawn.digest]
    shown = repr((answer.model_dump(), told, leaves, rows))
    assert drawn.raw.hex() not in shown
    assert repr(drawn.raw) not in shown
