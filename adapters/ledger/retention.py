"""What runs still need of the object store, and the tombstones of what they do not.

Whoever uses an object puts it, or asks whether it is there, in the same run; either makes it as new as if it was
written. So what was last put before the first of the runs that still need anything was opened, none of them needs.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, and_, delete, func, or_, select
from sqlalchemy.orm import Session

from adapters.ledger.rows import insert_absent
from adapters.ledger.tables.runs import ForecastRunRow, MinerResponseRow, TombstoneRow
from adapters.ledger.tables.weights import WeightPublicationRow, WeightVectorRoundRow
from adapters.object_store import Stored

GRACE = timedelta(days=7)
KEPT = timedelta(days=30)  # longer than any workflow is open
TRUTH_EXPECTED = timedelta(days=160)  # `era5` is looked for until 150 days after the last valid time
CLOCKS = timedelta(days=1)  # of the ledger and of the store's files


def horizon(session: Session, at: datetime) -> datetime:
    """The instant before which no object was put that is needed.

    A run needs its objects while it is open, while its truth may be revised, and until its weights are published.
    """
    run, vector, sent = ForecastRunRow, WeightVectorRoundRow, WeightPublicationRow
    revisable = and_(run.outcome != "void", run.init_time > at - TRUTH_EXPECTED)
    unpublished = select(vector.run_id).join(
        sent, and_(vector.network == sent.network, vector.input_digest == sent.input_digest)
    )
    needing = or_(
        run.closed_at.is_(None),
        revisable,
        run.run_id.in_(unpublished.where(sent.state.not_in(("confirmed", "missed")))),
    )
    first = session.scalar(select(func.min(run.opened_at)).where(needing))
    return min(at - KEPT, first or at) - CLOCKS


def named(session: Session, keys: Iterable[str]) -> set[str]:
    """Those of the keys that a row of the ledger names."""
    digests = [key.removeprefix("bytes/") for key in keys]
    columns = (ForecastRunRow.call_document, ForecastRunRow.bundle_digest, MinerResponseRow.manifest_digest)
    return {f"bytes/{digest}" for name in columns for digest in session.scalars(select(name).where(name.in_(digests)))}


def mark(session: Session, keys: tuple[str, str | None], unneeded: Collection[Stored], at: datetime) -> None:
    """Mark the unneeded objects between two keys, and take away the marks of all others."""
    names = [one.key for one in unneeded]
    session.execute(delete(TombstoneRow).where(_within(*keys), TombstoneRow.key.not_in(names)))
    rows = [{"key": one.key, "size_bytes": one.size_bytes, "marked_at": at} for one in unneeded]
    insert_absent(session, TombstoneRow, rows)


def due(session: Session, after: str, until: str | None, at: datetime) -> dict[str, int]:
    """Objects between two keys that have been marked for the time of grace, with their sizes in bytes."""
    row = TombstoneRow
    chosen = select(row.key, row.size_bytes).where(_within(after, until), row.marked_at <= at - GRACE)
    return dict(session.execute(chosen.order_by(row.key)).all())


def forget(session: Session, keys: Collection[str]) -> None:
    """Take away marks."""
    session.execute(delete(TombstoneRow).where(TombstoneRow.key.in_(keys)))


def _within(after: str, until: str | None) -> ColumnElement[bool]:
    within = TombstoneRow.key > after
    return within if until is None else and_(within, TombstoneRow.key <= until)
