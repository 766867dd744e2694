"""The row of a run: opened, moved along its legal edges, closed once."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, and_, select
from sqlalchemy.orm import Session

from adapters.ledger import transitions
from adapters.ledger.events import Change, record_event
from adapters.ledger.rows import insert_if_absent, locked
from adapters.ledger.tables.runs import ForecastRunRow, RunTransitionRow
from adapters.ledger.tables.scores import GroupScoreRow, LeadScoreRow, RoundScoreRow
from adapters.ledger.values import Closing
from weather.faults import LedgerConflict

RULES = ("grid", "layout_digest", "score_spec_digest", "case_set_digest")
IDENTITY = ("network", "run_id", "validator_hotkey", "purpose", "init_time", *RULES)


def open_run(session: Session, new: ForecastRunRow) -> ForecastRunRow:
    """Store the run as `pending`; again: the stored run with its first configuration.

    Raises:
        LedgerConflict: the run was opened under other rules.
    """
    new.status, new.status_ordinal = "pending", 0
    run, created = insert_if_absent(session, new, IDENTITY)
    if created:
        opened = RunTransitionRow(run_id=run.run_id, ordinal=0, target=run.status, reason="opened", at=new.opened_at)
        session.add(opened)
        data = {"spec": new.score_spec_digest, "grid": new.grid, "purpose": new.purpose}
        record_event(session, run, Change("run.enqueued", run.run_id, "0", new.opened_at, data))
    return run


def advance_run(session: Session, run_id: str, to: str, reason: str, at: datetime) -> ForecastRunRow:
    """Move the status; a run that is already there answers success.

    Raises:
        LedgerConflict: no such edge, or an end that only `close_run` may write.
    """
    run = changed_run(session, run_id)
    if run.status == to:
        return run
    transitions.require(transitions.RUN, f"run {run_id}", run.status, to)
    if not transitions.RUN[to]:
        raise LedgerConflict(f"run {run_id} ends by close_run only", found=to)
    _move(session, run, RunTransitionRow(target=to, reason=reason, at=at))
    return run


def reach_run(session: Session, run_id: str, to: str, reason: str, at: datetime) -> ForecastRunRow:
    """Move the status unless the run has been there: a run that is played again repeats its steps."""
    run = changed_run(session, run_id)
    been = select(RunTransitionRow.ordinal).where(RunTransitionRow.run_id == run_id, RunTransitionRow.target == to)
    if to not in transitions.RUN[run.status] and session.scalars(been).first() is not None:
        return run
    return advance_run(session, run_id, to, reason, at)


def record_cancelled(session: Session, run_id: str, at: datetime) -> None:
    """Tell once that the run's workflow was cancelled; the row stays, and a restart adopts it."""
    run = changed_run(session, run_id)
    record_event(session, run, Change("run.cancelled", run_id, at.isoformat(), at, {"by": "operator"}))


def close_run(session: Session, run_id: str, closing: Closing) -> ForecastRunRow:
    """Freeze outcome and scores; again: the stored outcome stands.

    Raises:
        LedgerConflict: the run is in no status from which it may end so.
    """
    run = changed_run(session, run_id)
    if run.outcome is not None:
        return run
    to = "error" if closing.outcome == "void" else "completed"
    transitions.require(transitions.RUN, f"run {run_id}", run.status, to)
    run.outcome, run.outcome_reason, run.coverage = closing.outcome, closing.reason, closing.coverage
    run.facts_digest, run.faults_digest, run.closed_at = closing.facts_digest, closing.faults_digest, closing.closed_at
    _move(session, run, RunTransitionRow(target=to, reason=closing.reason, at=closing.closed_at))
    session.add_all(RoundScoreRow(run_id=run_id, **score.model_dump()) for score in closing.scores)
    session.add_all(
        LeadScoreRow(run_id=run_id, hotkey=hotkey, pass_="era5_final", lead_hours=lead, score_nano=score)
        for (hotkey, lead), score in closing.lead_scores.items()
    )
    session.flush()
    session.add_all(
        GroupScoreRow(run_id=run_id, hotkey=hotkey, group_name=group, score_nano=score)
        for (hotkey, group), score in closing.group_scores.items()
    )
    data = closing.model_dump(include={"outcome", "reason", "coverage", "facts_digest", "faults_digest"})
    kind = "run.void" if closing.outcome == "void" else "run.completed"
    record_event(session, run, Change(kind, run_id, "0", closing.closed_at, data))
    return run


def get_run(session: Session, run_id: str) -> ForecastRunRow | None:
    return session.get(ForecastRunRow, run_id)


def list_runs(session: Session, limit: int = 100) -> Sequence[ForecastRunRow]:
    """The newest runs by init time."""
    newest = select(ForecastRunRow).order_by(ForecastRunRow.init_time.desc(), ForecastRunRow.run_id)
    return session.scalars(newest.limit(limit)).all()


def earlier_runs(run: ForecastRunRow) -> ColumnElement[bool]:
    """Holds for the runs before this one under the same rules; in a campaign, for its own."""
    other, prefix = ForecastRunRow, run.run_id.rpartition("/")[0]
    return and_(
        other.network == run.network,
        other.run_id.startswith(f"{prefix}/", autoescape=True),
        other.score_spec_digest == run.score_spec_digest,
        other.init_time < run.init_time,
    )


def changed_run(session: Session, run_id: str) -> ForecastRunRow:
    """The run, locked for a change.

    Raises:
        LedgerConflict: it was never opened.
    """
    run = locked(session, ForecastRunRow, run_id)
    if run is None:
        raise LedgerConflict(f"run {run_id} was never opened")
    return run


def _move(session: Session, run: ForecastRunRow, step: RunTransitionRow) -> None:
    step.run_id, step.ordinal, step.origin = run.run_id, run.status_ordinal + 1, run.status
    run.status, run.status_ordinal = step.target, step.ordinal
    session.add(step)
    data = {"from": step.origin, "to": step.target, "reason": step.reason}
    record_event(session, run, Change("run.status_changed", run.run_id, str(step.ordinal), step.at, data))
