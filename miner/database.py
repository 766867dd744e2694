"""The SQLite file of a miner host, in which each subject has its tables."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, MetaData, create_engine, event
from sqlalchemy.exc import OperationalError

from weather.faults import LedgerUnavailable


class Database:
    """Blocking."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._engine = create_engine(f"sqlite:///{path}", connect_args={"timeout": 10})
        event.listen(self._engine, "connect", _configure)

    def make(self, tables: MetaData) -> None:
        """Make what is not there yet."""
        tables.create_all(self._engine)

    def close(self) -> None:
        self._engine.dispose()

    @contextmanager
    def begin(self) -> Generator[Connection]:
        """One transaction."""
        try:
            with self._engine.begin() as connection:
                yield connection
        except OperationalError as error:
            raise LedgerUnavailable(f"the miner's database: {error.orig}") from error


def _configure(connection: Any, _record: object) -> None:
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
        connection.execute(f"PRAGMA {pragma}")
