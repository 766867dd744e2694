"""The miners of a run, frozen before the first call leaves."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from adapters.ledger.events import Change, record_event
from adapters.ledger.insertion import insert_if_absent
from adapters.ledger.runs import changed_run
from adapters.ledger.tables.runs import RosterEventRow, RosterRow
from protocol.registry import RosterEntry
from weather.faults import LedgerConflict


def freeze_roster(session: Session, run_id: str, entries: Sequence[RosterEntry], digest: str) -> list[RosterRow]:
    """Store the roster of a run; again: the first roster stands, even an empty one."""
    run = changed_run(session, run_id)
    if run.roster_digest is None:
        run.roster_digest = digest
        session.add_all(RosterRow(run_id=run_id, **entry.model_dump()) for entry in entries)
        data = {"spec": run.score_spec_digest, "roster_size": len(entries), "roster_digest": digest}
        record_event(session, run, Change("run.started", run_id, "0", run.opened_at, data))
    return roster_of(session, run_id)


def roster_of(session: Session, run_id: str) -> list[RosterRow]:
    """The miners of a run, by hotkey."""
    chosen = select(RosterRow).where(RosterRow.run_id == run_id).order_by(RosterRow.hotkey)
    return list(session.scalars(chosen))


def record_deregistered(session: Session, run_id: str, hotkey: str, at: datetime, block: int | None) -> None:
    """Append once that a miner left the registry; who is not on the roster is passed over."""
    if session.get(RosterRow, (run_id, hotkey)) is None:
        return
    gone = RosterEventRow(run_id=run_id, hotkey=hotkey, kind="deregistered", at=at, block=block)
    insert_if_absent(session, gone, ())


def require_member(session: Session, run_id: str, hotkey: str) -> None:
    """Refuse a miner that is not on the roster."""
    session.flush()
    if session.get(RosterRow, (run_id, hotkey)) is None:
        raise LedgerConflict(f"{hotkey} is not on the roster of {run_id}")
