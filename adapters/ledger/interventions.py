"""What operators did to a run, and what decides whether a verb applies to it."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from adapters.ledger import facts, responses, runs
from adapters.ledger.audits import committed_in_time
from adapters.ledger.events import Change, record_event
from adapters.ledger.log import append_leaf
from adapters.ledger.rows import rows_of
from adapters.ledger.tables.runs import ForecastRunRow, InterventionRow, MinerResponseRow, RosterRow, ScoringJobRow
from adapters.ledger.transitions import JOB, RERUN
from adapters.ledger.values import FaultRecord, ResponseStep
from protocol.receipt import Intervention
from weather.cases import CaseKey
from weather.interventions import DAY1, VOIDED, Effect, MinerState, RunState

VERIFYING = "verifying_manifest"
SECOND_ACTOR_WITHIN = timedelta(seconds=3600)


def interventions_of(session: Session, workflow_id: str) -> list[InterventionRow]:
    """All that was asked of a run, in order."""
    chosen = select(InterventionRow).where(InterventionRow.workflow_id == workflow_id)
    return list(session.scalars(chosen.order_by(InterventionRow.at, InterventionRow.request_id)))


def next_generation(session: Session, run_id: str, known: list[InterventionRow]) -> int:
    """Above that of all that is recorded or was promised to a rerun."""
    used = [row.generation for row in known if row.state == "acted" and row.verb not in ("hold", "release")]
    return 1 + max([*used, *(job.generation for job in rows_of(session, ScoringJobRow, run_id))], default=1)


def run_state(session: Session, run: ForecastRunRow, at: datetime, known: list[InterventionRow]) -> RunState:
    """The run as it stands, apart from its facts and faults."""
    started = rows_of(session, ScoringJobRow, run.run_id)
    running = {job.lead_hours for job in started if JOB[job.status]}
    return RunState(
        closed=run.outcome is not None,
        overdue=at >= run.close_by,
        held=run.held_by is not None,
        in_review=run.review == "fail",
        passes={job.lead_hours: job.lead_hours in running for job in started},
        miners=_miners(session, run, known),
    )


def is_second(row: InterventionRow, known: list[InterventionRow]) -> bool:
    """Whether another actor asked for the same within the hour, and it was not done since."""
    same = [one for one in known if (one.verb, one.scope) == (row.verb, row.scope)]
    done = max((one.at for one in same if one.state == "acted"), default=None)
    recent = [one for one in same if one.at >= row.at - SECOND_ACTOR_WITHIN and (done is None or one.at > done)]
    return any(one.actor != row.actor for one in recent)


def act(session: Session, run: ForecastRunRow, row: InterventionRow, done: Effect) -> None:
    """Do what the verb does in the ledger, with log leaf and event."""
    void = [_void_record(row, scope) for scope in done.void]
    facts.record_faults(session, void)
    if row.verb in ("hold", "release"):
        run.held_by = row.actor if row.verb == "hold" else None
    if row.verb == "accept" and run.review == "fail":
        run.review = "pass"
    if row.verb == "rerun":
        _begin_again(session, run, row, done)
    entry = Intervention(
        network=run.network,
        run_id=run.run_id,
        verb=row.verb,
        actor=row.actor,
        reason_digest=hashlib.sha256(row.reason.encode()).hexdigest(),
        recorded_at=row.at,
    )
    append_leaf(session, entry, row.request_id)
    data = {"verdict": row.verb, "actor": row.actor, "reason": row.reason, "scope": row.scope}
    record_event(session, run, Change("check.operator_completed", run.run_id, row.request_id, row.at, data))


def _miners(session: Session, run: ForecastRunRow, known: list[InterventionRow]) -> dict[str, MinerState]:
    in_time = {one.hotkey for one in committed_in_time(session, run.run_id)}
    again = {row.answer["hotkey"] for row in known if row.answer["commitment"]}
    status = {row.hotkey: row.status for row in rows_of(session, MinerResponseRow, run.run_id)}

    def state(hotkey: str) -> MinerState:
        if status.get(hotkey) == "verified_manifest_store_opened":
            return "verified"
        if status.get(hotkey) not in RERUN:
            return "working"
        return "absent" if hotkey not in in_time else "spent" if hotkey in again else "failed"

    return {row.hotkey: state(row.hotkey) for row in rows_of(session, RosterRow, run.run_id)}


def _begin_again(session: Session, run: ForecastRunRow, row: InterventionRow, done: Effect) -> None:
    if done.verify and done.hotkey:
        responses.verify_again(session, ResponseStep(run_id=run.run_id, hotkey=done.hotkey, to=VERIFYING, at=row.at))
    to = {"initial_scoring_failed": "initial_scoring_queued", "final_scoring_failed": "final_scoring_triggered"}
    if run.status in to and (run.status == "final_scoring_failed" or DAY1 in done.leads):
        runs.advance_run(session, run.run_id, to[run.status], row.reason, row.at)


def _void_record(row: InterventionRow, scope: CaseKey) -> FaultRecord:
    fault = dict(zip(("pass_", "lead_hours", "variable", "level", "region"), scope, strict=True)) | {
        "run_id": row.workflow_id,
        "generation": row.generation,
        "code": VOIDED,
        "cause": "policy",
        "effect": "V",
        "detail": f"{row.verb} by {row.actor}: {row.reason}",
        "recorded_at": row.at,
    }
    return FaultRecord.model_validate(fault)
