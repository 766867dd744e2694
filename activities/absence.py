"""Who is absent by his own fault, and when the deadline moves because of ours."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from activities.messages.run import AbsenceSettled, SettleAbsence
from adapters.ledger import absence, commitments, roster, runs
from adapters.ledger.tables.runs import ForecastRunRow
from protocol.deadline import DeadlineRules, in_time

LAST_POLL = timedelta(seconds=30)


def settle(session: Session, rules: DeadlineRules, request: SettleAbsence) -> AbsenceSettled:
    """Prove every absence, or move the deadline for all; again: the same answer."""
    row = runs.changed_run(session, request.run.run_id)
    if row.status != "pending":
        return AbsenceSettled(proved=True)
    deadline = row.commit_deadline or request.deadline
    if deadline > request.deadline:
        return AbsenceSettled(proved=False, moved_to=deadline)
    if _proved(session, row, deadline):
        return AbsenceSettled(proved=True)
    moved = rules.moved(deadline, request.run.init_time, row.first_lead_hours or 0, request.moves)
    if moved is not None:
        absence.move_deadline(session, row.run_id, moved, request.at)
    return AbsenceSettled(proved=False, moved_to=moved)


def _proved(session: Session, row: ForecastRunRow, deadline: datetime) -> bool:
    stored = commitments.commitments_of(session, row.run_id)
    present = {one.commitment.hotkey for one in stored if in_time(one.received_at, deadline)}
    if all(miner.hotkey in present for miner in roster.roster_of(session, row.run_id)):
        return True
    opened = row.requested_at or deadline
    since = deadline - min(LAST_POLL, (deadline - opened) / 2)
    up = absence.ingress_was_up(session, max(opened, deadline - absence.WATCHED), deadline)
    return up and not absence.unproved(session, row.run_id, since)
