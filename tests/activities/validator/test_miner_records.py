"""What the ledger keeps of one miner: status projections, pulled commitments, how it ended."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from activities import documents
from activities.messages.base import FaultNote, Ref
from activities.messages.miner import MinerAnswer, RecordAnswer, RecordCommitment, SettleMiner
from activities.messages.run import Step
from adapters.ledger import facts
from adapters.ledger.rows import rows_of
from adapters.ledger.tables.commitments import LogLeafRow
from adapters.ledger.tables.runs import MinerResponseRow
from adapters.ledger.values import FaultRecord
from protocol.receipt import CommitmentAnswer, broken_part
from tests.activities.ledger.builders import events_of
from tests.activities.validator.world import ALICE, BOB, CAROL, OPENED, VALIDATOR, Opened, Validator, do
from weather.faults import CommitmentLate, LedgerConflict, tree

OTHER_HASH = "e" * 64
STORE = Ref(sha256="d" * 64, size_bytes=9)


@pytest.fixture
def opened(validator: Validator) -> Opened:
    return validator.open()


def answer(validator: Validator, opened: Opened, **members: Any) -> str:
    """Record an answer of Alice and tell the status that it left."""
    said = MinerAnswer.model_validate({"stage": "received", **members})
    do(
        validator.responses.record_answer,
        RecordAnswer(run_id=opened.run.run_id, hotkey=ALICE.hotkey, answer=said, at=OPENED),
    )
    return row(validator, opened).status


def row(validator: Validator, opened: Opened) -> MinerResponseRow:
    with validator.ledger.read() as session:
        (only,) = rows_of(session, MinerResponseRow, opened.run.run_id)
        return only


def note(code: str, **members: Any) -> FaultNote:
    return FaultNote(code=code, cause=tree()[code].cause, **members)


def settle(validator: Validator, opened: Opened, **end: Any) -> None:
    request = SettleMiner(run_id=opened.run.run_id, hotkey=ALICE.hotkey, at=OPENED, **end)
    do(validator.responses.settle_miner, request)


def recorded_faults(validator: Validator, opened: Opened) -> list[FaultRecord]:
    with validator.ledger.read() as session:
        return facts.faults_of(session, opened.run.run_id)


def pull(validator: Validator, opened: Opened, at: Any, root: str = "5" * 64, key: Any = ALICE):
    request = RecordCommitment(
        run_id=opened.run.run_id, hotkey=key.hotkey, commitment=opened.put_offer(key, root), received_at=at
    )
    return do(validator.responses.record_commitment, request)


@pytest.mark.parametrize(
    ("said", "status"),
    [
        ({"stage": "received"}, "received"),
        ({"stage": "fetching"}, "fetch_initiated"),
        ({"stage": "fetching", "input_data_hash": "ours"}, "input_validation_complete"),
        ({"stage": "fetching", "input_data_hash": OTHER_HASH}, "input_hash_mismatch"),
        ({"stage": "error", "fault": note("MinerReportedError", found="input_unavailable")}, "input_fetch_error"),
        ({"stage": "error", "fault": note("MinerReportedError", found="busy")}, "received"),
        ({"stage": "inference"}, "inference_triggered"),
        ({"stage": "inference", "input_data_hash": "ours"}, "inference_triggered"),
        ({"stage": "writing"}, "awaiting_inference_results"),
        ({"stage": "completed"}, "received"),
    ],
)
def test_an_answer_is_projected_to_the_word_of_its_stage(
    validator: Validator, opened: Opened, said: dict, status: str
) -> None:
    ours = documents.call(validator.store, opened.call.sha256).input_data_hash
    said = {name: ours if value == "ours" else value for name, value in said.items()}
    assert answer(validator, opened, **said) == status
    assert row(validator, opened).input_data_hash == said.get("input_data_hash")


def test_inputs_that_are_named_late_are_judged_all_the_same(validator: Validator, opened: Opened) -> None:
    answer(validator, opened, stage="inference", input_data_hash=OTHER_HASH)
    with validator.ledger.read() as session:
        words = {event.data.get("status") for event in events_of(session, opened.run.run_id)}
    assert words - {None} == {"received", "input_hash_mismatch", "inference_triggered"}


def test_an_answer_that_says_less_than_the_last_writes_nothing(validator: Validator, opened: Opened) -> None:
    answer(validator, opened, stage="writing")
    assert answer(validator, opened, stage="fetching") == "awaiting_inference_results"


def test_a_hash_that_was_wrong_can_be_put_right(validator: Validator, opened: Opened) -> None:
    ours = documents.call(validator.store, opened.call.sha256).input_data_hash
    answer(validator, opened, stage="fetching", input_data_hash=OTHER_HASH)
    said = {"stage": "fetching", "input_data_hash": ours}
    assert answer(validator, opened, **said) == "input_validation_complete"


def test_a_stranger_has_no_row(validator: Validator, opened: Opened) -> None:
    said = RecordAnswer(run_id=opened.run.run_id, hotkey=CAROL.hotkey, answer=MinerAnswer(stage="received"), at=OPENED)
    with pytest.raises(LedgerConflict):
        do(validator.responses.record_answer, said)


def test_a_pulled_commitment_is_stored_logged_and_receipted(validator: Validator, opened: Opened) -> None:
    deadline = opened.window.commit_deadline
    recorded = pull(validator, opened, deadline)
    assert (recorded.leaf_index, recorded.in_time) == (1, True)
    answer = CommitmentAnswer.parse(validator.store.get(recorded.receipt.sha256))
    assert broken_part(answer, VALIDATOR.hotkey) is None
    assert (answer.receipt.entry.hotkey, answer.receipt.entry.channel) == (ALICE.hotkey, "pull")
    assert answer.receipt.entry.received_at == deadline
    assert documents.commitment(validator.store, recorded.commitment) == opened.offer(ALICE)


def test_a_commitment_pulled_again_or_another_one_gets_the_first_receipt(validator: Validator, opened: Opened) -> None:
    first = pull(validator, opened, OPENED)
    assert pull(validator, opened, OPENED + timedelta(minutes=1)) == first
    assert pull(validator, opened, OPENED + timedelta(minutes=1), root="6" * 64) == first
    with validator.ledger.read() as session:
        assert session.query(LogLeafRow).count() == 2


def test_a_commitment_after_the_deadline_is_stored_as_late(validator: Validator, opened: Opened) -> None:
    late = opened.window.commit_deadline + timedelta(milliseconds=1)
    assert not pull(validator, opened, late).in_time


def test_a_commitment_after_the_seal_is_refused(validator: Validator, opened: Opened) -> None:
    pull(validator, opened, OPENED)
    do(validator.runs.seal_run, Step(run_id=opened.run.run_id, at=opened.window.commit_deadline))
    with pytest.raises(CommitmentLate):
        pull(validator, opened, OPENED, key=BOB)
    assert pull(validator, opened, OPENED).leaf_index == 1


def test_a_verified_miner_is_settled_with_its_store(validator: Validator, opened: Opened) -> None:
    settle(validator, opened, store=STORE)
    settle(validator, opened, store=STORE)
    settled = row(validator, opened)
    assert (settled.status, settled.manifest_digest) == ("verified_manifest_store_opened", STORE.sha256)
    assert recorded_faults(validator, opened) == []


@pytest.mark.parametrize(
    ("code", "status", "effect"),
    [
        ("ManifestAbsent", "failed_manifest_verification", "W"),
        ("ManifestMalformed", "failed_manifest_verification", "W"),
        ("ManifestMismatch", "failed_manifest_verification", "W"),
        ("ManifestPathsWrong", "failed_manifest_verification", "W"),
        ("ManifestSizesWrong", "failed_manifest_verification", "W"),
        ("CoordinatesWrong", "failed_manifest_verification", "W"),
        ("MetadataRefused", "failed_manifest_verification", "W"),
        ("NoCommitment", "verification_error", "W"),
        ("MinerUnreachable", "verification_error", "W"),
        ("CommitmentLate", "verification_error", "W"),
        ("StoreUnavailable", "verification_error", "V"),
        ("ActivityTimeout", "verification_error", "V"),
        ("ConfigurationInvalid", "verification_error", "V"),
        ("PrerequisiteMissing", "verification_error", "V"),
    ],
)
def test_a_miner_at_fault_is_settled_with_code_evidence_and_effect(
    validator: Validator, opened: Opened, code: str, status: str, effect: str
) -> None:
    answer(validator, opened, stage="writing")
    fault = note(code, detail="why", found="this", expected="that")
    for _ in range(2):
        settle(validator, opened, fault=fault)
    settled = row(validator, opened)
    assert (settled.status, settled.code, settled.detail, settled.found, settled.expected) == (
        *(status, code, "why", "this", "that"),
    )
    (record,) = recorded_faults(validator, opened)
    assert (record.code, record.effect, record.cause) == (code, effect, tree()[code].cause)
    assert (record.hotkey, record.pass_, record.lead_hours, record.found) == (ALICE.hotkey, "*", -1, "this")


def test_absence_is_settled_although_the_miner_never_answered(validator: Validator, opened: Opened) -> None:
    settle(validator, opened, fault=note("NoCommitment"))
    assert row(validator, opened).status == "verification_error"
