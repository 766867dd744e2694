"""What the round backend is told of a run: written in the transaction of the change, delivered apart from it."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session
from temporalio import activity

from activities import attempts
from activities.messages.run import DeliverOutbox, OutboxDelivered
from activities.messages.scoring import FinishPass
from adapters.catalog import Catalog
from adapters.clock import Clock
from adapters.ledger import facts, outbox, roster, runs
from adapters.ledger.engine import Ledger
from adapters.ledger.facts import run_record
from adapters.ledger.tables.runs import ForecastRunRow
from adapters.ledger.tables.scores import RoundScoreRow, ScoreFactRow
from adapters.ledger.values import RecordedCommitment
from adapters.round_backend import RoundBackend
from protocol.deadline import in_time
from protocol.facts import ScoreFact, facts_digest
from protocol.merkle import tree_hash
from protocol.names import format_stamp, format_time, job_id
from protocol.round_backend import ONLY, SHORTEST_PAUSE, evaluation_id, task_id
from weather.cases import Case, case_set
from weather.faults import InternalError, SinkUnavailable
from weather.round_score import COUNTED, RunRecord, lead_scores, standings
from weather.score_spec import ScoreSpec

DAY1 = "day1_qc"


class LedgerOutbox:
    """Blocking: runs in the thread pool of `publish`."""

    def __init__(self, ledger: Ledger, backend: RoundBackend | None, clock: Clock) -> None:
        self._ledger, self._backend, self._clock = ledger, backend, clock

    @activity.defn
    def deliver_outbox(self, request: DeliverOutbox) -> OutboxDelivered:
        """Deliver all that is due; of a closed run, fail until no row is pending."""
        if self._backend is not None:
            with attempts.beating_thread():
                asyncio.run(self._deliver(request.run_id, self._backend))
        with self._ledger.begin() as session:
            run, now = runs.changed_run(session, request.run_id), self._clock.now()
            outbox.expire(session, run, now)
            next_at = outbox.next_try(session, run)
        if next_at is None or run.closed_at is None:
            return OutboxDelivered(next_at=next_at)
        wait = max(next_at - now, SHORTEST_PAUSE)
        raise SinkUnavailable(f"the round backend is not told all of {run.run_id} yet", retry_after=wait)

    async def _deliver(self, run_id: str, backend: RoundBackend) -> None:
        while rows := self._due(run_id):
            replies = await backend.deliver(rows)
            with self._ledger.begin() as session:
                outbox.settle(session, replies, self._clock.now())

    def _due(self, run_id: str) -> list[outbox.OutboxRow]:
        with self._ledger.read() as session:
            return outbox.due(session, run_id, self._clock.now())


def round_started(session: Session, run: ForecastRunRow, rules: ScoreSpec) -> None:
    """The window is open."""
    if not _is_told(run):
        return
    assert run.commit_deadline is not None
    start = {
        "opens_at": format_stamp(run.opened_at),
        "commit_deadline": format_time(run.commit_deadline),
        "score_spec_digest": run.score_spec_digest,
        "roster_digest": run.roster_digest,
        "roster_size": len(roster.roster_of(session, run.run_id)),
    }
    outbox.enqueue(session, run, "start_round", ONLY, start)
    cases = case_set(rules)
    tasks = [
        {
            "task_id": task_id(run.network, run.run_id, pass_, lead_hours),
            "pass": pass_,
            "lead_hours": lead_hours,
            "cases": sum(1 for case in cases if _task(case) == (pass_, lead_hours)),
            "weight": sum(case.weight for case in cases if _task(case) == (pass_, lead_hours)),
        }
        for pass_, lead_hours in sorted(set(map(_task, cases)))
    ]
    outbox.enqueue(session, run, "set_tasks", ONLY, {"tasks": tasks, "case_set_digest": run.case_set_digest})


def agents_started(session: Session, run: ForecastRunRow, stored: Sequence[RecordedCommitment]) -> None:
    """The window is sealed."""
    if not _is_told(run):
        return
    assert run.commit_deadline is not None
    committed = {one.commitment.hotkey: one for one in stored}
    for row in roster.roster_of(session, run.run_id):
        one = committed.get(row.hotkey)
        body = {
            "hotkey": row.hotkey,
            "uid": row.uid,
            "commitment_digest": one and one.commitment_digest,
            "in_time": one and in_time(one.received_at, run.commit_deadline),
        }
        outbox.enqueue(session, run, "start_agent_run", job_id(run.network, run.run_id, row.hotkey), body)


def pass_evaluated(session: Session, request: FinishPass, catalog: Catalog) -> None:
    """A pass has ended; what was told of it first stands, whatever becomes of a miner later."""
    run, task = runs.changed_run(session, request.run.run_id), (request.pass_name, request.lead_hours)
    if not _is_told(run) or run.outcome is not None:
        return
    rules = catalog.pinned_rules(request.run.grid, request.run.score_spec_digest)
    of_task = [ScoreFactRow.pass_ == task[0], *([] if task[0] == DAY1 else [ScoreFactRow.lead_hours == task[1]])]
    record = run_record(session, run.run_id, *of_task)
    scored: defaultdict[str, list[ScoreFact]] = defaultdict(list)
    for fact in facts.facts_of(session, run.run_id, *of_task):
        scored[fact.hotkey].append(fact)
    results = _results([case for case in case_set(rules) if _task(case) == task], record)
    known = set(outbox.items_of(session, run.run_id, "add_evaluation"))
    for hotkey, result in results.items():
        job = job_id(run.network, run.run_id, hotkey)
        evaluation = {
            "evaluation_id": evaluation_id(job, *task, request.generation),
            "job_id": job,
            "task_id": task_id(run.network, run.run_id, *task),
            "generation": request.generation,
            "facts_digest": facts_digest(scored[hotkey]),
            **result,
        }
        if evaluation["evaluation_id"] not in known:
            outbox.enqueue(session, run, "add_evaluation", evaluation["evaluation_id"], evaluation)


def round_finished(session: Session, run: ForecastRunRow) -> None:
    """The run is closed."""
    if not _is_told(run) or outbox.items_of(session, run.run_id, "finish_round"):
        return
    evaluations = sorted(outbox.items_of(session, run.run_id, "add_evaluation"))
    scores = select(RoundScoreRow).where(RoundScoreRow.run_id == run.run_id).order_by(RoundScoreRow.hotkey)
    body = {
        "outcome": run.outcome,
        "coverage": run.coverage,
        "evaluations": len(evaluations),
        "evaluations_root": tree_hash([one.encode() for one in evaluations]).hex(),
        "scores": [
            {"hotkey": row.hotkey, "score": row.score_nano, "rank": row.rank} for row in session.scalars(scores)
        ],
        "facts_digest": run.facts_digest,
    }
    outbox.enqueue(session, run, "finish_round", ONLY, body)


def _is_told(run: ForecastRunRow) -> bool:
    """Whether a backend was configured when the run opened, and has heard of the run."""
    return bool(run.config.get("round_backend")) and run.requested_at is not None


def _task(case: Case) -> tuple[str, int]:
    return case.key.pass_, 0 if case.key.pass_ == DAY1 else case.key.lead_time_hours


def _results(cases: Sequence[Case], record: RunRecord) -> dict[str, dict[str, Any]]:
    """Score or code of each miner over the cases that count; all leads of day 1 weigh the same."""
    states = standings(cases, record)
    counted = [case for case in cases if states[case.key] == COUNTED]
    void = next((state.code for state in states.values() if state.code), InternalError.__name__)
    scores, leads = lead_scores(counted, record), {case.key.lead_time_hours for case in counted}
    results: dict[str, dict[str, Any]] = {}
    for hotkey in record.roster:
        score = round(Fraction(sum(scores[hotkey, lead] for lead in leads), len(leads))) if leads else None
        code = None if score else _worst_code(hotkey, counted, record) if counted else void
        results[hotkey] = {"score": None if code else score, "code": code, "cases": len(counted)}
    return results


def _worst_code(hotkey: str, counted: Sequence[Case], record: RunRecord) -> str | None:
    """The code of the fault that made every case worst."""
    own = [fault for fault in record.faults if fault.effect == "W" and fault.hotkey == hotkey]
    return next((fault.code for fault in own if all(fault.covers(case.key) for case in counted)), None)
