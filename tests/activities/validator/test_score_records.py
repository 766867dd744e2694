"""Scoring jobs, facts and faults of a pass in the ledger."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from temporalio.testing import ActivityEnvironment

from activities import documents
from activities.messages.base import FaultNote, Ref
from activities.messages.run import Step
from activities.messages.scoring import FinishPass, RecordScores, StartPass
from adapters.ledger import facts, runs
from adapters.ledger.rows import rows_of
from adapters.ledger.tables.runs import ScoringJobRow
from adapters.ledger.values import FaultRecord, ScoreFact
from tests.activities.validator.world import ALICE, BOB, T0, Opened, Validator, do
from weather.faults import LedgerConflict

NOW = T0 + timedelta(days=6)


@pytest.fixture
def opened(validator: Validator) -> Opened:
    opened = validator.open()
    do(validator.runs.seal_run, Step(run_id=opened.run.run_id, at=opened.window.commit_deadline))
    return opened


def fact(opened: Opened, **changes: Any) -> ScoreFact:
    values = {
        "run_id": opened.run.run_id,
        "hotkey": ALICE.hotkey,
        "pass_": "era5_final",
        "lead_hours": 24,
        "variable": "z",
        "level": 500,
        "spec_digest": opened.run.score_spec_digest,
        "truth_version": "era5t",
        "kind": "live",
        "valid_time": opened.run.valid_time(24),
        "forecast_digest": "1" * 64,
        "truth_digest": "2" * 64,
        "climatology_digest": "3" * 64,
        "sums": {"W": 1.0, "D2": 1 / 3},
        "score": 0.75,
        "kernel_order": "four-rows/1",
        "package_version": "0.1.0",
        "scored_at": NOW,
    }
    return ScoreFact.model_validate(values | changes)


def fault(opened: Opened, **changes: Any) -> FaultRecord:
    values = {
        "run_id": opened.run.run_id,
        "hotkey": BOB.hotkey,
        "pass_": "era5_final",
        "lead_hours": 24,
        "variable": "z",
        "level": 500,
        "region": "global",
        "code": "ObjectAbsent",
        "cause": "miner",
        "effect": "W",
        "recorded_at": NOW,
    }
    return FaultRecord.model_validate(values | changes)


def part(validator: Validator, facts: list[ScoreFact], faults: list[FaultRecord] | None = None) -> Ref:
    return documents.put_model(validator.store, documents.Part(facts=tuple(facts), faults=tuple(faults or [])))


def record(validator: Validator, opened: Opened, ref: Ref) -> int:
    return do(validator.scores.record_scores, RecordScores(run_id=opened.run.run_id, part=ref))


def start(validator: Validator, opened: Opened, pass_name: Any, lead_hours: int, *steps: str) -> None:
    for to in steps:
        step = StartPass(
            run_id=opened.run.run_id, pass_name=pass_name, lead_hours=lead_hours, generation=1, to=to, at=NOW
        )
        do(validator.scores.start_pass, step)


def finish(
    validator: Validator, opened: Opened, pass_name: Any, lead_hours: int, fault: FaultNote | None = None
) -> None:
    end = FinishPass(run=opened.run, pass_name=pass_name, lead_hours=lead_hours, generation=1, at=NOW, fault=fault)
    do(validator.scores.finish_pass, end)


def run_status(validator: Validator, opened: Opened) -> str:
    with validator.ledger.read() as session:
        run = runs.get_run(session, opened.run.run_id)
        assert run is not None
        return run.status


def job_status(validator: Validator, opened: Opened) -> tuple[str, int, str, str | None]:
    with validator.ledger.read() as session:
        (job,) = rows_of(session, ScoringJobRow, opened.run.run_id)
        return job.score_type, job.lead_hours, job.status, job.code


def stored(validator: Validator, opened: Opened) -> tuple[list[ScoreFact], list[FaultRecord]]:
    with validator.ledger.read() as session:
        return facts.facts_of(session, opened.run.run_id), facts.faults_of(session, opened.run.run_id)


def test_day_1_moves_the_run_with_its_job(validator: Validator, opened: Opened) -> None:
    start(validator, opened, "day1_qc", 0, "queued")
    assert run_status(validator, opened) == "initial_scoring_queued"
    start(validator, opened, "day1_qc", 0, "in_progress")
    assert run_status(validator, opened) == "initial_scoring_running"
    finish(validator, opened, "day1_qc", 0)
    assert run_status(validator, opened) == "initial_scoring_done"
    assert job_status(validator, opened) == ("day1_qc", 0, "completed", None)


def test_a_final_pass_moves_its_job_only(validator: Validator, opened: Opened) -> None:
    start(validator, opened, "era5_final", 24, "queued", "in_progress")
    finish(validator, opened, "era5_final", 24)
    assert job_status(validator, opened) == ("era5_final", 24, "completed", None)
    assert run_status(validator, opened) == "initial_scoring_queued"


def test_a_step_that_is_repeated_changes_nothing(validator: Validator, opened: Opened) -> None:
    for _ in range(2):
        start(validator, opened, "day1_qc", 0, "queued", "in_progress", "queued")
        finish(validator, opened, "day1_qc", 0)
    assert job_status(validator, opened)[2] == "completed"
    assert run_status(validator, opened) == "initial_scoring_done"


def test_day_1_without_truth_fails_and_voids_its_gate_for_all(validator: Validator, opened: Opened) -> None:
    start(validator, opened, "day1_qc", 0, "queued")
    finish(validator, opened, "day1_qc", 0, FaultNote(code="SourceGone", cause="source", detail="gone", found="404"))
    assert job_status(validator, opened) == ("day1_qc", 0, "failed", "SourceGone")
    assert run_status(validator, opened) == "initial_scoring_failed"
    (_, (record,)) = stored(validator, opened)
    assert (record.pass_, record.lead_hours, record.hotkey, record.effect) == ("day1_qc", -1, "*", "V")


def test_a_lead_that_ends_by_our_fault_is_void_for_all_in_its_cases_only(validator: Validator, opened: Opened) -> None:
    start(validator, opened, "era5_final", 48, "queued", "in_progress")
    for _ in range(2):
        finish(validator, opened, "era5_final", 48, FaultNote(code="ActivityTimeout", cause="platform"))
    (_, (record,)) = stored(validator, opened)
    assert (record.code, record.pass_, record.lead_hours) == ("ActivityTimeout", "era5_final", 48)
    assert (record.hotkey, record.variable, record.level, record.effect) == ("*", "*", -1, "V")


def test_a_pass_that_ended_by_one_miner_is_void_by_us_and_not_by_it(validator: Validator, opened: Opened) -> None:
    start(validator, opened, "era5_final", 48, "queued", "in_progress")
    finish(validator, opened, "era5_final", 48, FaultNote(code="MinerTimeout", cause="miner", detail="no answer"))
    (_, (record,)) = stored(validator, opened)
    assert (record.code, record.cause, record.effect, record.hotkey) == ("ActivityTimeout", "platform", "V", "*")
    assert record.detail == "MinerTimeout: no answer"
    assert job_status(validator, opened)[3] == "ActivityTimeout"


def test_facts_and_faults_are_written_once(validator: Validator, opened: Opened) -> None:
    ref = part(validator, [fact(opened), fact(opened, level=850)], [fault(opened)])
    assert record(validator, opened, ref) == 3
    before = stored(validator, opened)
    assert (len(before[0]), len(before[1])) == (2, 1)
    later = NOW + timedelta(hours=1)
    again = part(validator, [fact(opened, scored_at=later)], [fault(opened, recorded_at=later, detail="more")])
    record(validator, opened, ref)
    record(validator, opened, again)
    assert stored(validator, opened) == before


@pytest.mark.parametrize("change", [{"score": 0.5}, {"sums": {"W": 1.0, "D2": 0.25}}, {"forecast_digest": "9" * 64}])
def test_another_value_under_a_key_is_a_conflict_and_nothing_of_the_part_is_written(
    validator: Validator, opened: Opened, change: dict
) -> None:
    record(validator, opened, part(validator, [fact(opened)]))
    before = stored(validator, opened)
    with pytest.raises(LedgerConflict):
        record(validator, opened, part(validator, [fact(opened, level=850), fact(opened, **change)]))
    assert stored(validator, opened) == before


def test_another_code_under_a_key_is_a_conflict(validator: Validator, opened: Opened) -> None:
    record(validator, opened, part(validator, [], [fault(opened)]))
    with pytest.raises(LedgerConflict):
        record(validator, opened, part(validator, [], [fault(opened, code="ObjectDigestMismatch")]))


def test_writing_heartbeats_from_its_beginning(validator: Validator, opened: Opened) -> None:
    beats: list[Any] = []
    environment = ActivityEnvironment()
    environment.info = replace(environment.info, heartbeat_timeout=timedelta(seconds=3))
    environment.on_heartbeat = lambda *details: beats.append(details)
    ref = part(validator, [fact(opened)])
    environment.run(validator.scores.record_scores, RecordScores(run_id=opened.run.run_id, part=ref))
    assert beats[0] == ({"spent": {}, "progress": None},)
