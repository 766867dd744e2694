"""Insert-if-absent by natural key, the lock under which a row is changed, and the rows of a run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

from sqlalchemy import inspect, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import InstrumentedAttribute, Session

from adapters.ledger.tables.base import Row
from weather.faults import LedgerConflict

R = TypeVar("R", bound=Row)


def insert_if_absent(session: Session, row: R, compared: Iterable[str] = ()) -> tuple[R, bool]:
    """The stored row of this key, and whether it is this one.

    Args:
        session: the transaction.
        row: a row that is in no session.
        compared: attributes in which a row that was there must be equal.

    Raises:
        LedgerConflict: the stored row differs in one of them.
    """
    kind = type(row)
    columns = {column.columns[0].name: getattr(row, column.key) for column in inspect(kind).column_attrs}
    created = insert_absent(session, kind, [columns]) == 1
    stored = session.get_one(kind, inspect(kind).primary_key_from_instance(row), populate_existing=True)
    for name in compared:
        found, expected = getattr(stored, name), getattr(row, name)
        if found != expected:
            raise LedgerConflict(f"{kind.__tablename__} holds another {name}", found=found, expected=expected)
    return stored, created


def insert_absent(session: Session, kind: type[Row], rows: Sequence[Mapping[str, Any]]) -> int:
    """Insert, by column name, the rows whose key is free; answers how many."""
    if not rows:
        return 0
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    absent = dialect.insert(kind.__table__).on_conflict_do_nothing()  # ty: ignore[invalid-argument-type]
    return session.connection().execute(absent.execution_options(preserve_rowcount=True), rows).rowcount


def locked(session: Session, kind: type[R], key: object) -> R | None:
    """The row as it is now, which nobody else changes until this transaction ends; new rows may refer to it."""
    session.flush()
    return session.get(kind, key, with_for_update={"key_share": True}, populate_existing=True)


def rows_of(session: Session, kind: type[R], run_id: str) -> list[R]:
    """All rows of a run, by primary key."""
    return list(session.scalars(select(kind).filter_by(run_id=run_id).order_by(*inspect(kind).primary_key)))


def columns_of(session: Session, run_id: str, *columns: InstrumentedAttribute[Any]) -> list[list[Any]]:
    """These columns of one table in all rows of a run, in order."""
    chosen = select(*columns).filter_by(run_id=run_id)
    return sorted(list(row) for row in session.execute(chosen))
