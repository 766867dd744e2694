"""What a run writes to the outbox with each of its steps, once."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from activities.messages.base import FaultNote
from activities.messages.run import AdvanceRun, CloseRun, Step
from activities.messages.scoring import FinishPass, StartPass
from adapters.ledger import commitments
from adapters.ledger.engine import Ledger
from adapters.ledger.tables.runs import OutboxRow
from adapters.ledger.values import FaultRecord, ReceivedCommitment, ScoreFact
from adapters.object_store import ObjectStore
from protocol.commitment import Commitment
from protocol.facts import facts_digest
from protocol.merkle import tree_hash
from protocol.names import job_id
from protocol.round_backend import evaluation_id, task_id
from tests.activities.validator.world import ALICE, BOB, HINDCAST, LIVE, T0, VALIDATOR, Opened, Validator, do
from weather.cases import CaseKey, case_set

RUN, CLOSED = "forecast/2026-11-22T18Z", T0 + timedelta(days=20)


@pytest.fixture
def validator(ledger: Ledger, tmp_path: Path) -> Validator:
    return Validator(ledger, ObjectStore(tmp_path / "objects")).with_defaults(round_backend=True)


def told(validator: Validator, operation: str) -> dict[str, Any]:
    with validator.ledger.read() as session:
        rows = session.scalars(select(OutboxRow).where(OutboxRow.operation == operation))
        return {row.item: json.loads(row.body) for row in rows}


def fact(opened: Opened, hotkey: str, key: CaseKey, score: float) -> ScoreFact:
    return ScoreFact(
        run_id=RUN,
        hotkey=hotkey,
        pass_="day1_qc" if key.pass_ == "day1_qc" else "era5_final",
        lead_hours=key.lead_time_hours,
        variable=key.variable,
        level=key.level,
        spec_digest=opened.run.score_spec_digest,
        truth_version="era5t",
        kind="live",
        valid_time=opened.run.valid_time(key.lead_time_hours),
        forecast_digest=hotkey,
        truth_digest="2" * 64,
        climatology_digest="3" * 64,
        sums={"W": 1.0},
        score=score,
        kernel_order="four-rows/1",
        package_version="0.1.0",
        scored_at=CLOSED,
    )


def absent(hotkey: str, **scope: Any) -> FaultRecord:
    fault = {"code": "ObjectAbsent", "cause": "miner", "effect": "W", "recorded_at": CLOSED}
    return FaultRecord.model_validate({"run_id": RUN, "hotkey": hotkey, **fault, **scope})


def seal(validator: Validator, opened: Opened) -> None:
    offer = opened.offer(ALICE)
    received = ReceivedCommitment(
        commitment=Commitment.parse(offer.commitment),
        signature=offer.signature,
        received_at=opened.window.requested_at,
        channel="push",
    )
    with validator.ledger.begin() as session:
        commitments.record_commitment(session, VALIDATOR, received)
    for _ in range(2):
        do(validator.runs.seal_run, Step(run_id=RUN, at=opened.window.commit_deadline))


def finish(validator: Validator, opened: Opened, pass_name: Any, lead: int, fault: FaultNote | None = None) -> None:
    step: dict[str, Any] = {"pass_name": pass_name, "lead_hours": lead, "generation": 1, "at": CLOSED}
    for to in ("queued", "in_progress"):
        do(validator.scores.start_pass, StartPass(run_id=RUN, to=to, **step))
    do(validator.scores.finish_pass, FinishPass(run=opened.run, fault=fault, **step))


def test_a_run_tells_its_round_its_tasks_and_its_agents(validator: Validator) -> None:
    opened = validator.open()
    seal(validator, opened)
    cases = case_set(validator.catalog.rules(opened.run.grid))
    assert told(validator, "start_round") == {
        "1": {
            "opens_at": "2026-11-22T21:30:00.000Z",
            "commit_deadline": "2026-11-22T22:30:00Z",
            "score_spec_digest": opened.run.score_spec_digest,
            "roster_digest": opened.roster.roster_digest,
            "roster_size": 2,
        }
    }
    tasks = told(validator, "set_tasks")["1"]["tasks"]
    assert [(task["pass"], task["lead_hours"]) for task in tasks] == [
        ("day1_qc", 0),
        *(("era5_final", lead) for lead in range(24, 241, 24)),
    ]
    assert (tasks[1]["task_id"], tasks[1]["cases"]) == (task_id("test", RUN, "era5_final", 24), 19)
    assert sum(task["weight"] for task in tasks) == sum(case.weight for case in cases)
    agents = told(validator, "start_agent_run")
    assert {item: body["hotkey"] for item, body in agents.items()} == {
        job_id("test", RUN, key.hotkey): key.hotkey for key in (ALICE, BOB)
    }
    assert {body["hotkey"]: body["in_time"] for body in agents.values()} == {ALICE.hotkey: True, BOB.hotkey: None}


def test_a_pass_tells_the_score_of_each_miner_or_the_code_of_there_being_none(validator: Validator) -> None:
    opened = validator.open()
    seal(validator, opened)
    keys = [case.key for case in case_set(validator.catalog.rules(opened.run.grid)) if case.key.lead_time_hours == 24]
    facts = [fact(opened, ALICE.hotkey, key, 0.5) for key in keys]
    validator.record(*facts, absent(BOB.hotkey))
    finish(validator, opened, "era5_final", 24)
    alice, bob = (job_id("test", RUN, key.hotkey) for key in (ALICE, BOB))
    evaluations = told(validator, "add_evaluation")
    assert evaluations[evaluation_id(alice, "era5_final", 24, 1)] == {
        "evaluation_id": evaluation_id(alice, "era5_final", 24, 1),
        "job_id": alice,
        "task_id": task_id("test", RUN, "era5_final", 24),
        "generation": 1,
        "score": 500_000_000,
        "code": None,
        "cases": 19,
        "facts_digest": facts_digest(one for one in facts if one.pass_ == "era5_final"),
    }
    of_bob = evaluations[evaluation_id(bob, "era5_final", 24, 1)]
    assert (of_bob["score"], of_bob["code"], of_bob["cases"]) == (None, "ObjectAbsent", 19)
    assert of_bob["facts_digest"] == facts_digest([])


def test_day_1_is_one_task_and_a_void_pass_tells_its_code_for_all(validator: Validator) -> None:
    opened = validator.open()
    seal(validator, opened)
    gates = [case.key for case in case_set(validator.catalog.rules(opened.run.grid)) if case.key.pass_ == "day1_qc"]
    validator.record(*(fact(opened, key.hotkey, gate, 1.0) for key in (ALICE, BOB) for gate in gates))
    finish(validator, opened, "day1_qc", 0)
    finish(validator, opened, "era5_final", 48, FaultNote(code="SourceGone", cause="source"))
    results = [(body["score"], body["code"], body["cases"]) for body in told(validator, "add_evaluation").values()]
    assert sorted(results, key=str) == [(10**9, None, 10)] * 2 + [(None, "SourceGone", 0)] * 2


def test_what_was_told_first_of_a_pass_stands(validator: Validator) -> None:
    opened = validator.open()
    seal(validator, opened)
    keys = [case.key for case in case_set(validator.catalog.rules(opened.run.grid)) if case.key.lead_time_hours == 24]
    validator.record(*(fact(opened, one.hotkey, key, 0.5) for one in (ALICE, BOB) for key in keys))
    finish(validator, opened, "era5_final", 24)
    first = told(validator, "add_evaluation")
    validator.record(absent(BOB.hotkey, pass_="era5_final", lead_hours=24))
    finish(validator, opened, "era5_final", 24)
    assert told(validator, "add_evaluation") == first


def test_the_end_tells_outcome_ranks_and_the_tree_of_all_evaluations(validator: Validator) -> None:
    opened = validator.open()
    seal(validator, opened)
    for to in ("initial_scoring_skipped", "final_scoring_triggered"):
        do(validator.runs.advance_run, AdvanceRun(run_id=RUN, to=to, reason="", at=T0))
    keys = [case.key for case in case_set(validator.catalog.rules(opened.run.grid))]
    validator.record(*(fact(opened, ALICE.hotkey, key, 0.5) for key in keys), absent(BOB.hotkey))
    finish(validator, opened, "era5_final", 24)
    for _ in range(2):
        result = do(validator.runs.close_run, CloseRun(run_id=RUN, at=CLOSED))
    finish(validator, opened, "era5_final", 48)
    evaluations = sorted(told(validator, "add_evaluation"))
    body = told(validator, "finish_round")["1"]
    assert body == {
        "outcome": "closed",
        "coverage": "1/1",
        "evaluations": 2,
        "evaluations_root": tree_hash([one.encode() for one in evaluations]).hex(),
        "scores": [
            {"hotkey": key.hotkey, "score": score, "rank": rank}
            for key, score, rank in sorted([(ALICE, 500_000_000, 1), (BOB, 0, 2)], key=lambda row: row[0].hotkey)
        ],
        "facts_digest": result.facts_digest,
    }


def test_nothing_is_told_without_a_backend_of_a_hindcast_or_of_a_round_that_never_opened(validator: Validator) -> None:
    validator.with_defaults(round_backend=False).open()
    do(validator.runs.close_run, CloseRun(run_id=RUN, at=CLOSED, void_reason="operator"))
    validator.open(HINDCAST)
    earlier = do(validator.opening.open_run, LIVE.model_copy(update={"init_time": T0 - timedelta(hours=6)}))
    assert earlier.round_backend
    do(validator.runs.close_run, CloseRun(run_id=earlier.run_id, at=CLOSED, void_reason="empty_roster"))
    with validator.ledger.read() as session:
        assert session.scalars(select(OutboxRow)).all() == []
