"""What proves that a miner is absent: our own marks of being reachable, and the last word of each miner."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from adapters.ledger.commitments import commitments_of
from adapters.ledger.log import append_leaf
from adapters.ledger.rows import rows_of
from adapters.ledger.runs import changed_run
from adapters.ledger.tables.commitments import IngressMarkRow, LastWordRow
from adapters.ledger.tables.runs import RosterRow
from protocol.receipt import DeadlineMoved

MARK_EVERY = timedelta(seconds=10)
LONGEST_GAP = timedelta(seconds=30)
WATCHED = timedelta(minutes=5)
KEPT = timedelta(days=1)


def mark_ingress(session: Session, at: datetime) -> None:
    """Tell that the HTTP side is up; marks of long ago are dropped."""
    session.execute(delete(IngressMarkRow).where(IngressMarkRow.at < at - KEPT))
    session.merge(IngressMarkRow(at=at))


def ingress_was_up(session: Session, begin: datetime, end: datetime) -> bool:
    """Whether no gap between marks in the interval is above 30 seconds, its ends included."""
    chosen = select(IngressMarkRow.at).where(IngressMarkRow.at.between(begin, end)).order_by(IngressMarkRow.at)
    instants = [begin, *session.scalars(chosen), end]
    return all(later - earlier <= LONGEST_GAP for earlier, later in pairwise(instants))


def unproved(session: Session, run_id: str, since: datetime) -> list[str]:
    """Miners of the roster that never committed and whose last word since then is not theirs."""
    committed = {recorded.commitment.hotkey for recorded in commitments_of(session, run_id)}
    chosen = select(LastWordRow.hotkey).where(
        LastWordRow.run_id == run_id, LastWordRow.at >= since, LastWordRow.cause.in_(("miner", "policy"))
    )
    proved = committed | set(session.scalars(chosen))
    return [row.hotkey for row in rows_of(session, RosterRow, run_id) if row.hotkey not in proved]


def move_deadline(session: Session, run_id: str, to: datetime, at: datetime) -> None:
    """Move the commit deadline of a run for all; logged."""
    run = changed_run(session, run_id)
    assert run.commit_deadline is not None
    moved = DeadlineMoved(
        network=run.network, run_id=run_id, from_=run.commit_deadline, to=to, code="IngressDown", recorded_at=at
    )
    run.commit_deadline = to
    append_leaf(session, moved, to.isoformat())
