"""Who is registered since when: seen once an epoch, and made of what the registry itself says where it says it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from adapters.ledger.tables.runs import ForecastRunRow, RosterEventRow, RosterRow
from adapters.ledger.tables.weights import RegistryObservationRow


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
        .join(ForecastRunRow, ForecastRunRow.run_id == RosterRow.run_id)
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
