from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import exc, select, text

from adapters.ledger.commitments import commitment_of, commitments_of, record_commitment
from adapters.ledger.engine import Ledger
from adapters.ledger.facts import record_facts, record_faults
from adapters.ledger.log import append_leaf, grown, root
from adapters.ledger.runs import advance_run
from adapters.ledger.tables.commitments import LogLeafRow
from adapters.ledger.values import ReceivedCommitment, RecordedCommitment
from protocol.canonical import verify
from protocol.merkle import leaf_hash, root_of
from protocol.receipt import RunOpened, broken_part
from tests.activities.ledger.builders import MINER, OPENED, RUN, VALIDATOR, events_of, fact, fault, prepare, received
from tests.proofs import inclusion_proof
from weather.faults import CommitmentLate, LedgerConflict

HOTKEYS = [f"{number:064x}" for number in range(1, 13)]
OPENING = RunOpened(
    network="test",
    run_id=RUN,
    call_digest="1" * 64,
    roster_digest="2" * 64,
    commit_deadline=OPENED,
    recorded_at=OPENED,
)


def test_a_commitment_gets_a_receipt_that_holds_offline(ledger: Ledger) -> None:
    with ledger.begin() as session:
        prepare(session, MINER.hotkey, *HOTKEYS)
        append_leaf(session, OPENING)
        recorded = [record_commitment(session, VALIDATOR, received(hotkey)) for hotkey in HOTKEYS]
    for index, one in enumerate(recorded, start=1):
        answer = one.answer(OPENED)
        assert broken_part(answer, VALIDATOR.hotkey) is None
        assert (one.leaf_index, one.head.tree_head.tree_size, one.created, answer.in_time) == (
            index,
            index + 1,
            True,
            True,
        )
        assert verify(VALIDATOR.hotkey, "receipt", one.receipt.canonical, one.receipt_signature)


def test_the_stored_commitment_is_the_recorded_one(ledger: Ledger) -> None:
    with ledger.begin() as session:
        prepare(session, MINER.hotkey)
        recorded = record_commitment(session, VALIDATOR, received())
    with ledger.read() as session:
        stored = commitment_of(session, RUN, MINER.hotkey)
        assert stored == recorded.model_copy(update={"created": False})
        assert commitment_of(session, RUN, HOTKEYS[0]) is None


def test_the_same_commitment_again_has_the_same_receipt(ledger: Ledger) -> None:
    with ledger.begin() as session:
        prepare(session, MINER.hotkey)
        first = record_commitment(session, VALIDATOR, received())
    with ledger.begin() as session:
        again = record_commitment(session, VALIDATOR, received(at=OPENED + timedelta(hours=9)))
    assert (again.created, again.stood) == (False, False)
    assert again.answer(OPENED) == first.answer(OPENED)


def test_the_first_commitment_stands_against_another(ledger: Ledger) -> None:
    with ledger.begin() as session:
        prepare(session, MINER.hotkey)
        first = record_commitment(session, VALIDATOR, received())
    with ledger.begin() as session:
        other = record_commitment(session, VALIDATOR, received(root="6" * 64))
        assert len(commitments_of(session, RUN)) == 1
    assert (other.created, other.stood, other.commitment) == (False, True, first.commitment)


def test_a_late_commitment_is_stored_and_told_so(ledger: Ledger) -> None:
    deadline = OPENED + timedelta(hours=1)
    with ledger.begin() as session:
        prepare(session, MINER.hotkey)
        late = record_commitment(session, VALIDATOR, received(at=deadline + timedelta(microseconds=1)))
    assert late.answer(deadline).in_time is False
    assert late.received_at == deadline + timedelta(milliseconds=1)


def test_after_the_seal_nothing_is_stored(ledger: Ledger) -> None:
    with ledger.begin() as session:
        prepare(session, MINER.hotkey, HOTKEYS[0])
        first = record_commitment(session, VALIDATOR, received())
        advance_run(session, RUN, "initial_scoring_queued", "sealed", OPENED)
    with pytest.raises(CommitmentLate, match="sealed"), ledger.begin() as session:
        record_commitment(session, VALIDATOR, received(HOTKEYS[0]))
    with ledger.begin() as session:
        assert record_commitment(session, VALIDATOR, received()).answer(OPENED) == first.answer(OPENED)
        assert len(commitments_of(session, RUN)) == 1


def test_a_stranger_commits_nothing(ledger: Ledger) -> None:
    with pytest.raises(LedgerConflict, match="not on the roster"), ledger.begin() as session:
        prepare(session)
        record_commitment(session, VALIDATOR, received())


def test_concurrent_writers_of_one_commitment_make_one_row(ledger: Ledger) -> None:
    with ledger.begin() as session:
        prepare(session, MINER.hotkey)
    recorded = together(ledger, [received()] * 8)
    assert sorted(one.created for one in recorded) == [False] * 7 + [True]
    assert len({one.answer(OPENED).body for one in recorded}) == 1
    with ledger.read() as session:
        assert session.scalars(select(LogLeafRow.leaf_index)).all() == [0]


def test_concurrent_miners_leave_no_gap_and_no_fork(ledger: Ledger) -> None:
    with ledger.begin() as session:
        prepare(session, *HOTKEYS)
    recorded = together(ledger, [received(hotkey) for hotkey in HOTKEYS])
    with ledger.read() as session:
        leaves = session.scalars(select(LogLeafRow).order_by(LogLeafRow.leaf_index)).all()
        committed = [event for event in events_of(session, RUN) if event.type == "io.barograph.forecast.committed"]
    hashes = [bytes.fromhex(leaf.leaf_hash) for leaf in leaves]
    assert [leaf.leaf_index for leaf in leaves] == list(range(len(HOTKEYS)))
    assert len(committed) == len(HOTKEYS)
    for one in recorded:
        assert broken_part(one.answer(OPENED), VALIDATOR.hotkey) is None
        assert one.head.tree_head.root_hash == root_of(hashes[: one.leaf_index + 1]).hex()


def together(ledger: Ledger, values: list[ReceivedCommitment]) -> list[RecordedCommitment]:
    barrier = threading.Barrier(len(values))

    def one(value: ReceivedCommitment) -> RecordedCommitment:
        barrier.wait()
        with ledger.begin() as session:
            return record_commitment(session, VALIDATOR, value)

    with ThreadPoolExecutor(len(values)) as pool:
        return list(pool.map(one, values))


def test_an_entry_is_appended_once(ledger: Ledger) -> None:
    with ledger.begin() as session:
        prepare(session)
        first = append_leaf(session, OPENING)
    with ledger.begin() as session:
        again = append_leaf(session, OPENING.model_copy(update={"recorded_at": OPENED + timedelta(minutes=1)}))
        assert (again.leaf_index, again.entry) == (first.leaf_index, first.entry)
    with pytest.raises(LedgerConflict, match="another entry"), ledger.begin() as session:
        append_leaf(session, OPENING.model_copy(update={"call_digest": "3" * 64}))


@given(st.integers(1, 70))
def test_a_leaf_carries_the_root_and_the_proof_of_its_tree(size: int) -> None:
    hashes = [leaf_hash(bytes([number])) for number in range(size)]
    before: list[str] = []
    peaks: list[str] = []
    for number, leaf in enumerate(hashes):
        before, peaks = peaks, grown(number, peaks, leaf)
    assert root(peaks) == root_of(hashes).hex()
    assert [bytes.fromhex(peak) for peak in reversed(before)] == inclusion_proof(hashes, size - 1)


IMMUTABLE = (
    "log_leaves",
    "commitments",
    "receipts",
    "rosters",
    "run_transitions",
    "events",
    "weather_forecast_component_scores",
    "fault_records",
)


@pytest.mark.parametrize("statement", ["UPDATE {} SET {} = {}", "DELETE FROM {}"])
def test_the_database_itself_refuses_changes(filled: Ledger, statement: str) -> None:
    for table in IMMUTABLE:
        column = "subject" if table == "events" else "run_id"
        _refused(filled, table, statement.format(table, column, column))


def _refused(ledger: Ledger, table: str, statement: str) -> None:
    with ledger.begin() as session:
        before = session.execute(text(f"SELECT count(*) FROM {table}")).scalar_one()
        with pytest.raises(exc.IntegrityError, match=f"{table}_immutable"), session.begin_nested():
            session.execute(text(statement))
        assert session.execute(text(f"SELECT count(*) FROM {table}")).scalar_one() == before > 0


@pytest.fixture
def filled(ledger: Ledger) -> Ledger:
    with ledger.begin() as session:
        prepare(session, MINER.hotkey)
        record_commitment(session, VALIDATOR, received())
        record_facts(session, [fact()])
        record_faults(session, [fault()])
    return ledger
