"""Who is registered since when, and the miners of a run, frozen before the first call leaves."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from adapters.ledger.events import Change, record_event
from adapters.ledger.rows import insert_if_absent, rows_of
from adapters.ledger.runs import changed_run
from adapters.ledger.tables.runs import ForecastRunRow, RosterEventRow, RosterRow
from adapters.ledger.tables.weights import RegistryObservationRow
from protocol.registry import RosterEntry
from weather.faults import LedgerConflict


def freeze_roster(session: Session, run_id: str, entries: Sequence[RosterEntry], digest: str) -> list[RosterEntry]:
    """Store the roster of a run; again: the first roster stands, even an empty one."""
    run = changed_run(session, run_id)
    if run.roster_digest is None:
        run.roster_digest = digest
        session.add_all(RosterRow(run_id=run_id, **entry.model_dump()) for entry in entries)
        data = {"spec": run.score_spec_digest, "roster_size": len(entries), "roster_digest": digest}
        record_event(session, run, Change("run.started", run_id, "0", run.opened_at, data))
    return roster_of(session, run_id)


def roster_of(session: Session, run_id: str) -> list[RosterEntry]:
    """The miners of a run, by hotkey."""
    rows = rows_of(session, RosterRow, run_id)
    return [RosterEntry(**{name: getattr(row, name) for name in RosterEntry.model_fields}) for row in rows]


def record_deregistered(session: Session, run_id: str, hotkey: str, at: datetime, block: int | None) -> None:
    """Append once that a miner left the registry; who is not on the roster is passed over."""
    if session.get(RosterRow, (run_id, hotkey)) is None:
        return
    gone = RosterEventRow(run_id=run_id, hotkey=hotkey, kind="deregistered", at=at, block=block)
    insert_if_absent(session, gone)


def require_member(session: Session, run_id: str, hotkey: str) -> None:
    """Refuse a miner that is not on the roster."""
    session.flush()
    if session.get(RosterRow, (run_id, hotkey)) is None:
        raise LedgerConflict(f"{hotkey} is not on the roster of {run_id}")


def observe(
    session: Session, network: str, miners: Mapping[str, datetime | None], at: datetime, always: datetime
) -> None:
    """End the presences that are over and begin new ones.

    Args:
        session: the transaction.
        network: whose registry it is.
        miners: the enabled ones, each with the `valid_from` that the registry gives it.
        at: when the registry was read.
        always: since when those are there that the first reading finds without a `valid_from`.
    """
    seen = list(session.scalars(select(RegistryObservationRow).where(RegistryObservationRow.network == network)))
    ends = {row.hotkey: row.present_until for row in sorted(seen, key=lambda row: row.present_from)}
    for row in seen:
        if row.present_until is None and row.hotkey not in miners:
            row.present_until = max(at, row.present_from)
    for hotkey, valid_from in miners.items():
        if (end := ends.get(hotkey, always)) is not None:
            since = valid_from or (at if seen else always)
            begin = since if since <= at and (hotkey not in ends or since > end) else at
            lasting = RegistryObservationRow(network=network, hotkey=hotkey, present_from=begin, present_until=None)
            session.merge(lasting)


def registered(session: Session, network: str) -> dict[str, datetime]:
    """Start of the present presence by hotkey."""
    row = RegistryObservationRow
    chosen = select(row.hotkey, row.present_from).where(row.network == network, row.present_until.is_(None))
    return dict(session.execute(chosen).all())


def unannounced(session: Session, network: str, miners: Collection[str]) -> list[tuple[str, str]]:
    """(run, hotkey) of who is on the roster of an open live run and not registered, as the run was not told yet."""
    chosen = (
        select(RosterRow.run_id, RosterRow.hotkey)
        .join(ForecastRunRow)
        .outerjoin(
            RosterEventRow,
            (RosterEventRow.run_id == RosterRow.run_id)
            & (RosterEventRow.hotkey == RosterRow.hotkey)
            & (RosterEventRow.kind == "deregistered"),
        )
        .where(
            ForecastRunRow.network == network,
            ForecastRunRow.purpose == "live",
            ForecastRunRow.closed_at.is_(None),
            RosterEventRow.hotkey.is_(None),
        )
        .order_by(RosterRow.run_id, RosterRow.hotkey)
    )
    return [(run_id, hotkey) for run_id, hotkey in session.execute(chosen) if hotkey not in miners]
