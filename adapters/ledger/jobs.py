"""Scoring jobs: one row a pass, lead and generation."""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from adapters.ledger import transitions
from adapters.ledger.events import Change, record_event
from adapters.ledger.runs import changed_run
from adapters.ledger.tables.runs import ForecastRunRow, ScoringJobRow
from adapters.ledger.tables.scores import ScoreFactRow
from adapters.ledger.values import JobStep
from protocol.names import pass_workflow_id

KEY = {"run_id", "score_type", "lead_hours", "generation"}
EVENTS = {
    "queued": "run.status_changed",
    "in_progress": "run.stage_started",
    "completed": "scores.recorded",
    "failed": "run.stage_completed",
}


def advance_job(session: Session, step: JobStep) -> ScoringJobRow:
    """Move a scoring job; one that is already there answers success.

    Raises:
        LedgerConflict: no such edge.
    """
    run, key = changed_run(session, step.run_id), step.model_dump(include=KEY)
    row = session.get(ScoringJobRow, key)
    if row is not None and row.status == step.to:
        return row
    transitions.require(transitions.JOB, f"job {key}", row.status if row else None, step.to)
    if row is None:
        row = ScoringJobRow(**key)
        session.add(row)
    row.status, row.code, row.updated_at = step.to, step.code, step.at
    _report(session, run, step)
    return row


def reach_job(session: Session, step: JobStep) -> None:
    """Move a scoring job unless it has been there: a pass that is played again repeats its steps."""
    row = session.get(ScoringJobRow, step.model_dump(include=KEY))
    if row is None or step.to in transitions.JOB[row.status]:
        advance_job(session, step)


def _report(session: Session, run: ForecastRunRow, step: JobStep) -> None:
    lead = step.lead_hours if step.score_type == "era5_final" else None
    subject = pass_workflow_id(step.run_id, step.score_type, lead)
    data = step.model_dump(exclude={"run_id", "at", "score_type"}, exclude_none=True)
    data |= {"pass": step.score_type, "spec": run.score_spec_digest}
    if step.to == "completed":
        data["facts"] = _facts(session, step, lead)
    record_event(session, run, Change(EVENTS[step.to], subject, f"{step.generation}|{step.to}", step.at, data))


def _facts(session: Session, step: JobStep, lead_hours: int | None) -> int:
    """How many facts the pass came to."""
    same = {"run_id": step.run_id, "pass_": step.score_type, "generation": step.generation}
    same |= {} if lead_hours is None else {"lead_hours": lead_hours}
    return session.scalars(select(func.count()).select_from(ScoreFactRow).filter_by(**same)).one()
