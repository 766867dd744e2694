"""Who is absent by his own fault, and when the deadline moves because of ours."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from sqlalchemy import select

from activities.messages.base import FaultNote
from activities.messages.miner import LastWord
from activities.messages.run import AbsenceSettled, CommitWindow, ForecastRunInput, Run, SettleAbsence
from adapters.ledger import absence, runs
from adapters.ledger.tables.commitments import LogLeafRow
from tests.activities.validator.world import ALICE, BOB, HINDCAST, LIVE, Validator, do
from weather.faults import EgressDown, MinerUnreachable


def opened(validator: Validator, request: ForecastRunInput = LIVE) -> tuple[Run, CommitWindow]:
    run = validator.open(request)
    return run.run, run.window


def settle(validator: Validator, run: Run, deadline: datetime, moves: int = 0) -> AbsenceSettled:
    at = deadline + timedelta(seconds=60)
    return do(validator.runs.settle_absence, SettleAbsence(run=run, deadline=deadline, moves=moves, at=at))


def last_words(validator: Validator, run: Run, at: datetime, fault: type = MinerUnreachable) -> None:
    for key in (ALICE, BOB):
        word = LastWord(run_id=run.run_id, hotkey=key.hotkey, at=at, fault=FaultNote.of(fault("refused")))
        do(validator.responses.record_last_word, word)


def marks(validator: Validator, begin: datetime, end: datetime, every: int = 10) -> None:
    with validator.ledger.begin() as session:
        while begin <= end:
            absence.mark_ingress(session, begin)
            begin += timedelta(seconds=every)


def test_absence_is_proved_by_our_marks_and_the_miners_last_words(validator: Validator) -> None:
    run, window = opened(validator)
    deadline = window.commit_deadline
    marks(validator, deadline - timedelta(minutes=5), deadline)
    last_words(validator, run, deadline - timedelta(seconds=30))
    assert settle(validator, run, deadline) == AbsenceSettled(proved=True)


@pytest.mark.parametrize("gap", [30, 31])
def test_a_gap_above_30_seconds_in_our_marks_moves_the_deadline_for_all(validator: Validator, gap: int) -> None:
    run, window = opened(validator)
    deadline = window.commit_deadline
    marks(validator, deadline - timedelta(minutes=5), deadline - timedelta(seconds=60 + gap))
    marks(validator, deadline - timedelta(seconds=60), deadline)
    last_words(validator, run, deadline)
    settled = settle(validator, run, deadline)
    assert settled.proved == (gap == 30)
    assert settled.moved_to == (None if gap == 30 else deadline + timedelta(minutes=10))


def test_a_last_word_before_the_last_poll_proves_nothing(validator: Validator) -> None:
    run, window = opened(validator)
    deadline = window.commit_deadline
    marks(validator, deadline - timedelta(minutes=5), deadline)
    last_words(validator, run, deadline - timedelta(seconds=31))
    assert not settle(validator, run, deadline).proved


def test_a_fault_of_ours_over_the_last_poll_moves_the_deadline_and_is_logged_once(validator: Validator) -> None:
    run, window = opened(validator)
    deadline = window.commit_deadline
    marks(validator, deadline - timedelta(minutes=5), deadline)
    last_words(validator, run, deadline, EgressDown)
    first = settle(validator, run, deadline)
    assert first == settle(validator, run, deadline)
    assert first.moved_to == deadline + timedelta(minutes=10)
    with validator.ledger.read() as session:
        row = runs.get_run(session, run.run_id)
        assert row is not None and row.commit_deadline == first.moved_to
        leaves = session.scalars(select(LogLeafRow).where(LogLeafRow.kind == "deadline_moved")).all()
        assert [leaf.entry["code"] for leaf in leaves] == ["IngressDown"]


def test_a_live_deadline_never_passes_the_first_scored_valid_time(validator: Validator) -> None:
    run, window = opened(validator)
    deadline, moves = window.commit_deadline, 0
    latest = run.valid_time(window.first_lead_hours or 0) - timedelta(seconds=1)
    while (moved := settle(validator, run, deadline, moves).moved_to) is not None:
        deadline, moves = moved, moves + 1
    assert deadline == latest


def test_a_hindcast_moves_at_most_six_times(validator: Validator) -> None:
    run, window = opened(validator, HINDCAST)
    deadline, moves = window.commit_deadline, 0
    while (moved := settle(validator, run, deadline, moves).moved_to) is not None:
        deadline, moves = moved, moves + 1
    assert moves == 6
