"""Insert-if-absent by natural key, and the lock under which a row is changed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from sqlalchemy import Insert, inspect
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from adapters.ledger.tables.base import Row
from weather.faults import LedgerConflict

R = TypeVar("R", bound=Row)


def insert_if_absent(session: Session, row: R, compared: Iterable[str]) -> tuple[R, bool]:
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
    counting = absent(session, kind).execution_options(preserve_rowcount=True)
    created = session.connection().execute(counting, columns).rowcount == 1
    stored = session.get_one(kind, inspect(kind).primary_key_from_instance(row), populate_existing=True)
    for name in compared:
        found, expected = getattr(stored, name), getattr(row, name)
        if found != expected:
            raise LedgerConflict(f"{kind.__tablename__} holds another {name}", found=found, expected=expected)
    return stored, created


def absent(session: Session, kind: type[Row]) -> Insert:
    """Inserts, by column name, what has a free key and passes over the rest."""
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    return dialect.insert(kind.__table__).on_conflict_do_nothing()  # ty: ignore[invalid-argument-type]


def locked(session: Session, kind: type[R], key: object) -> R | None:
    """The row as it is now, which nobody else changes until this transaction ends; new rows may refer to it."""
    session.flush()
    return session.get(kind, key, with_for_update={"key_share": True}, populate_existing=True)
