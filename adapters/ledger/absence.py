"""What proves that a miner is absent: our own marks of being reachable, and the last word of each miner."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from adapters.ledger.log import append_leaf
from adapters.ledger.rows import rows_of
from adapters.ledger.tables.commitments import CommitmentRow, IngressMarkRow, LastWordRow
from adapters.ledger.tables.runs import ForecastRunRow, RosterRow
from protocol.deadline import in_time
from protocol.receipt import DeadlineMoved

MARK_EVERY = timedelta(seconds=10)
LONGEST_GAP = LAST_POLL = timedelta(seconds=30)
WATCHED = timedelta(minutes=5)
KEPT = timedelta(days=1)


def mark_ingress(session: Session, at: datetime) -> None:
    """Tell that the HTTP side is up; marks of long ago are dropped."""
    session.execute(delete(IngressMarkRow).where(IngressMarkRow.at < at - KEPT))
    session.merge(IngressMarkRow(at=at))


def is_proved(session: Session, run: ForecastRunRow, deadline: datetime) -> bool:
    """Whether whoever did not commit in time is absent by its own fault, since we could be reached."""
    committed = select(CommitmentRow.hotkey, CommitmentRow.received_at).where(CommitmentRow.run_id == run.run_id)
    received = dict(session.execute(committed).all())
    present = {hotkey for hotkey, at in received.items() if in_time(at, deadline)}
    absent = {miner.hotkey for miner in rows_of(session, RosterRow, run.run_id)} - present
    if not absent:
        return True
    opened = run.requested_at or deadline
    last_poll = deadline - min(LAST_POLL, (deadline - opened) / 2)
    theirs = (LastWordRow.at >= last_poll) & LastWordRow.cause.in_(("miner", "policy"))
    words = session.scalars(select(LastWordRow.hotkey).where(LastWordRow.run_id == run.run_id, theirs))
    proved = absent <= received.keys() | set(words)
    return proved and _ingress_was_up(session, max(opened, deadline - WATCHED), deadline)


def move_deadline(session: Session, run: ForecastRunRow, to: datetime, at: datetime) -> None:
    """Move the commit deadline of a run for all; logged."""
    assert run.commit_deadline is not None
    moved = DeadlineMoved(
        network=run.network, run_id=run.run_id, from_=run.commit_deadline, to=to, code="IngressDown", recorded_at=at
    )
    run.commit_deadline = to
    append_leaf(session, moved, to.isoformat())


def _ingress_was_up(session: Session, begin: datetime, end: datetime) -> bool:
    """Whether no gap between marks in the interval is above 30 seconds, its ends included."""
    chosen = select(IngressMarkRow.at).where(IngressMarkRow.at.between(begin, end)).order_by(IngressMarkRow.at)
    instants = [begin, *session.scalars(chosen), end]
    return all(later - earlier <= LONGEST_GAP for earlier, later in pairwise(instants))
