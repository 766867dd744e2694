from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from adapters.ledger.engine import Ledger
from adapters.ledger.facts import record_facts
from adapters.ledger.jobs import advance_job
from adapters.ledger.responses import advance_response
from adapters.ledger.roster import freeze_roster, roster_of
from adapters.ledger.rows import rows_of
from adapters.ledger.runs import advance_run, close_run, get_run, list_runs, open_run
from adapters.ledger.tables.runs import ForecastRunRow, MinerResponseRow, RunTransitionRow, ScoringJobRow
from adapters.ledger.tables.scores import LeadScoreRow, RoundScoreRow
from adapters.ledger.values import JobStep, ResponseStep
from tests.activities.ledger.builders import (
    MINER,
    OPENED,
    RUN,
    T0,
    VALIDATOR,
    closing,
    entry,
    events_of,
    fact,
    new_run,
    prepare,
    set_window,
)
from weather.faults import LedgerConflict

LATER = OPENED + timedelta(minutes=5)
TO_THE_END = (
    "initial_scoring_queued",
    "initial_scoring_running",
    "initial_scoring_done",
    "final_scoring_triggered",
    "final_scoring_completed",
)


def together(ledger: Ledger, act: Callable[[Session, int], object], number: int = 8) -> list[object]:
    barrier = threading.Barrier(number)

    def one(index: int) -> object:
        barrier.wait()
        with ledger.begin() as session:
            return act(session, index)

    with ThreadPoolExecutor(number) as pool:
        return list(pool.map(one, range(number)))


def test_opening_again_answers_the_first_configuration(ledger: Ledger) -> None:
    with ledger.begin() as session:
        open_run(session, new_run())
    with ledger.begin() as session:
        again = open_run(session, new_run(opened_at=LATER, config={"miners_per_chunk": 9}))
        assert (again.opened_at, again.config) == (OPENED, {"miners_per_chunk": 8})
        assert len(list_runs(session)) == 1
        assert len(events_of(session, RUN)) == 1


@pytest.mark.parametrize("change", [{"grid": "0p25"}, {"network": "main"}, {"score_spec_digest": "0" * 64}])
def test_opening_under_other_rules_is_a_conflict(ledger: Ledger, change: dict[str, str]) -> None:
    with ledger.begin() as session:
        open_run(session, new_run())
    with pytest.raises(LedgerConflict, match=f"another {next(iter(change))}"), ledger.begin() as session:
        open_run(session, new_run(**change))


def test_twenty_parallel_opens_make_one_row(ledger: Ledger) -> None:
    rows = together(ledger, lambda session, index: open_run(session, new_run(config={"by": index})).config, 12)
    with ledger.read() as session:
        assert session.scalar(select(func.count()).select_from(ForecastRunRow)) == 1
    assert rows == [rows[0]] * 12


def test_a_run_that_was_never_opened_is_a_conflict(ledger: Ledger) -> None:
    with pytest.raises(LedgerConflict, match="never opened"), ledger.begin() as session:
        advance_run(session, RUN, "initial_scoring_queued", "sealed", OPENED)


def test_each_step_has_its_audit_row_and_event(ledger: Ledger) -> None:
    with ledger.begin() as session:
        prepare(session)
        set_window(session, RUN)
        advance_run(session, RUN, "initial_scoring_queued", "sealed", LATER)
        advance_run(session, RUN, "initial_scoring_queued", "sealed again", LATER)
        advance_run(session, RUN, "initial_scoring_failed", "no truth", LATER)
        advance_run(session, RUN, "initial_scoring_queued", "rerun", LATER)
    with ledger.read() as session:
        steps = session.scalars(select(RunTransitionRow).order_by(RunTransitionRow.ordinal)).all()
        assert [(step.origin, step.target, step.reason) for step in steps] == [
            (None, "pending", "opened"),
            ("pending", "initial_scoring_queued", "sealed"),
            ("initial_scoring_queued", "initial_scoring_failed", "no truth"),
            ("initial_scoring_failed", "initial_scoring_queued", "rerun"),
        ]
        events = [event for event in events_of(session, RUN) if event.type == "io.barograph.run.status_changed"]
        assert len(events) == len({event.id for event in events}) == 3
        assert events[0].source == f"/validators/{VALIDATOR.hotkey}/{RUN}"
        run = get_run(session, RUN)
        assert run is not None
        assert run.commit_deadline == OPENED + timedelta(hours=1)


def test_ids_of_events_depend_on_what_happened_only(ledger: Ledger) -> None:
    with ledger.begin() as session:
        open_run(session, new_run(opened_at=LATER))
        (event,) = events_of(session, RUN)
    assert event.id == "ba2ac718-48d7-5497-8849-f5817275f13e"


def test_a_step_and_its_event_go_together(ledger: Ledger) -> None:
    with ledger.begin() as session:
        prepare(session)
    with pytest.raises(RuntimeError), ledger.begin() as session:
        advance_run(session, RUN, "initial_scoring_queued", "sealed", LATER)
        raise RuntimeError
    with ledger.read() as session:
        assert session.scalars(select(ForecastRunRow.status)).one() == "pending"
        assert session.scalar(select(func.count()).select_from(RunTransitionRow)) == 1
        assert len(events_of(session, RUN)) == 2


def test_parallel_steps_move_once(ledger: Ledger) -> None:
    with ledger.begin() as session:
        prepare(session)
    together(ledger, lambda session, _: advance_run(session, RUN, "initial_scoring_queued", "sealed", LATER))
    with ledger.read() as session:
        assert session.scalar(select(func.count()).select_from(RunTransitionRow)) == 2


@pytest.mark.parametrize("first", [[], [entry(MINER.hotkey)]])
def test_the_first_roster_stands_even_an_empty_one(ledger: Ledger, first: list) -> None:
    with ledger.begin() as session:
        open_run(session, new_run())
        freeze_roster(session, RUN, first, "1" * 64)
    with ledger.begin() as session:
        freeze_roster(session, RUN, [entry("2" * 64, 2), entry("3" * 64, 3)], "2" * 64)
        assert [row.hotkey for row in roster_of(session, RUN)] == [one.hotkey for one in first]


def test_closing_twice_answers_the_stored_outcome(ledger: Ledger) -> None:
    with ledger.begin() as session:
        prepare(session, MINER.hotkey)
        for status in TO_THE_END:
            advance_run(session, RUN, status, "test", LATER)
        close_run(session, RUN, closing())
    with ledger.begin() as session:
        again = close_run(session, RUN, closing(outcome="void", reason="operator", facts_digest="0" * 64, scores=[]))
        assert (again.status, again.outcome, again.facts_digest) == ("completed", "closed", "1" * 64)
        assert session.scalars(select(RoundScoreRow.score_nano)).all() == [10**9]
        assert session.scalars(select(LeadScoreRow.score_nano)).all() == [5]
        assert [event.type for event in events_of(session, RUN)].count("io.barograph.run.completed") == 1


def test_parallel_closes_write_one_outcome(ledger: Ledger) -> None:
    with ledger.begin() as session:
        prepare(session, MINER.hotkey)
    outcomes = together(
        ledger, lambda session, n: close_run(session, RUN, closing(outcome="void", coverage=f"{n}/9")).coverage
    )
    assert outcomes == [outcomes[0]] * 8


def test_a_run_cannot_be_scored_before_its_passes(ledger: Ledger) -> None:
    with ledger.begin() as session:
        prepare(session)
    with pytest.raises(LedgerConflict, match="cannot go from pending to completed"), ledger.begin() as session:
        close_run(session, RUN, closing())


def test_runs_are_listed_newest_first(ledger: Ledger) -> None:
    with ledger.begin() as session:
        open_run(session, new_run(run_id="forecast/2026-11-22T12Z", init_time=T0 - timedelta(hours=6)))
        open_run(session, new_run())
        assert [run.run_id for run in list_runs(session, 1)] == [RUN]


def test_a_failed_response_keeps_its_evidence(ledger: Ledger) -> None:
    def step(to: str, **evidence: str) -> ResponseStep:
        return ResponseStep.model_validate(evidence | {"run_id": RUN, "hotkey": MINER.hotkey, "at": OPENED, "to": to})

    with ledger.begin() as session:
        prepare(session, MINER.hotkey)
        advance_response(session, step("received", input_data_hash="e" * 64))
        advance_response(session, step("verification_error", code="NoCommitment", found="none", expected="one"))
        advance_response(session, step("verifying_manifest"))
    with ledger.read() as session:
        (row,) = rows_of(session, MinerResponseRow, RUN)
        kept = (row.status, row.code, row.found, row.expected, row.input_data_hash)
        assert kept == ("verification_error", "NoCommitment", "none", "one", "e" * 64)
        types = [event.type for event in events_of(session, RUN) if event.data.get("miner")]
        assert sorted(types) == ["io.barograph.forecast.rejected", "io.barograph.forecast.requested"]


def test_a_stranger_has_no_response(ledger: Ledger) -> None:
    with pytest.raises(LedgerConflict, match="not on the roster"), ledger.begin() as session:
        prepare(session, MINER.hotkey)
        advance_response(session, ResponseStep(run_id=RUN, hotkey="0" * 64, to="received", at=OPENED))


def test_a_rerun_is_another_generation_of_the_job(ledger: Ledger) -> None:
    def step(to: str, generation: int = 1, code: str | None = None) -> JobStep:
        values = {"run_id": RUN, "score_type": "era5_final", "lead_hours": 24, "generation": generation}
        return JobStep.model_validate(values | {"to": to, "at": OPENED, "code": code})

    with ledger.begin() as session:
        prepare(session, MINER.hotkey)
        for one in (step("queued"), step("failed", code="TruthNotYetAvailable"), step("queued", 2)):
            advance_job(session, one)
        advance_job(session, step("in_progress", 2))
        record_facts(session, [fact(generation=2, level=level) for level in (500, 850)] + [fact(), fact(lead_hours=48)])
        advance_job(session, step("completed", 2))
        statuses = [(job.generation, job.status) for job in rows_of(session, ScoringJobRow, RUN)]
        assert statuses == [(1, "failed"), (2, "completed")]
        recorded = [event for event in events_of(session, RUN) if event.type == "io.barograph.scores.recorded"]
        assert [(event.subject, event.data["facts"]) for event in recorded] == [(f"{RUN}/score/era5_final/024h", 2)]
