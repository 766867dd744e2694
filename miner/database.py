"""The SQLite file of a miner host: its tables and transactions."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import MetaData, text
from sqlalchemy.orm import MappedAsDataclass, Session

from adapters.ledger.engine import open_engine, translated
from adapters.ledger.tables.base import Row


class MinerRow(MappedAsDataclass, Row):
    """Root of the rows that a miner keeps."""

    __abstract__ = True
    metadata = MetaData()


class Database:
    """Blocking; the modules that define rows are imported before it is opened, and made if it is not there."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._engine = open_engine(f"sqlite:///{folder / 'miner.sqlite'}")
        MinerRow.metadata.create_all(self._engine)

    def close(self) -> None:
        self._engine.dispose()

    def probe(self) -> None:
        """Write and read once, or `LedgerUnavailable`."""
        with self.begin() as session:
            session.execute(text("PRAGMA user_version = 1"))
            session.execute(text("PRAGMA user_version")).scalar_one()

    @contextmanager
    def begin(self) -> Generator[Session]:
        """One transaction."""
        session = Session(self._engine, expire_on_commit=False)
        with translated("in the miner's database"), session, session.begin():
            yield session
