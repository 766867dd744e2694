"""Transactions on the ledger, and what its failures mean.

IntegrityError                         → LedgerConflict (another value stands)
no space                               → DiskFull
cannot connect, locked, corrupt file   → LedgerUnavailable
another schema than the code's         → PrerequisiteMissing
"""

from __future__ import annotations

import sqlite3
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from sqlalchemy import URL, Connection, Engine, create_engine, event, exc, make_url
from sqlalchemy.orm import Session

from adapters.ledger import schema
from adapters.ledger.log import NEWEST, keep_head, require_head
from adapters.ledger.tables.commitments import LogLeafRow
from weather.faults import ConfigurationInvalid, DiskFull, LedgerConflict, LedgerUnavailable, PrerequisiteMissing

CONNECT_TIMEOUT_SECONDS = 5
LOCK_TIMEOUT_SECONDS = 10
PRAGMAS = ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON")
POSTGRES_NO_SPACE = "53100"


class Ledger:
    """The database of one validator; `log_head` is the file that tells if leaves of its log are lost."""

    def __init__(self, url: str, log_head: Path | None = None) -> None:
        self.address, self._engine = address(url), open_engine(url)
        self._log_head = log_head
        self._unkept: LogLeafRow | None = None
        self._reader = self._engine.execution_options(reads=True)
        self._current = False

    @contextmanager
    def begin(self) -> Generator[Session]:
        """One transaction that may write; SQLite lets in one at a time."""
        with self._session(self._engine) as session:
            yield session
        newest = session.info.get(NEWEST) or self._unkept
        if self._log_head and newest:
            self._unkept = newest
            keep_head(self._log_head, newest)
            self._unkept = None

    @contextmanager
    def read(self) -> Generator[Session]:
        """One transaction that only reads and waits for nobody."""
        with self._session(self._reader) as session:
            yield session

    def require_log_head(self) -> None:
        """Refuse a ledger that was restored to a point before the last leaf of its log."""
        if self._log_head:
            with self.read() as session:
                require_head(session, self._log_head)

    def require_ready(self) -> None:
        """Refuse a ledger that cannot be written now, or that has another schema by now."""
        with self.begin() as session:
            require_current(session.connection())

    def close(self) -> None:
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def _session(self, engine: Engine) -> Generator[Session]:
        with translated(self.address), Session(engine, expire_on_commit=False) as session, session.begin():
            if not self._current:
                require_current(session.connection())
                self._current = True
            yield session


def require_current(connection: Connection) -> None:
    """Refuse a database whose schema is not the one of this code."""
    current, head = schema.revision_of(connection), schema.head()
    if current != head:
        raise PrerequisiteMissing(
            "the ledger has another schema: run `barograph db upgrade`", found=current or "no schema", expected=head
        )


def upgrade(url: str) -> None:
    """Bring the schema to the newest revision; one that is not ours is refused."""
    with _connected(url) as connection:
        schema.upgrade(connection)


def revisions(url: str) -> tuple[str | None, str]:
    """The revision of the database and that of the code."""
    with _connected(url, reads=True) as connection:
        return schema.revision_of(connection), schema.head()


def address(url: str) -> str:
    """The address for messages: no user, no password, no options but the socket's folder."""
    parsed = _parsed(url)
    shown = {name: value for name, value in parsed.query.items() if name == "host"}
    return URL.create(
        parsed.get_backend_name(), host=parsed.host, port=parsed.port, database=parsed.database, query=shown
    ).render_as_string()


def open_engine(url: str) -> Engine:
    """An engine for SQLite in a file or PostgreSQL by psycopg."""
    parsed = _parsed(url)
    if parsed.get_backend_name() == "sqlite":
        engine = create_engine(parsed, connect_args={"timeout": LOCK_TIMEOUT_SECONDS})
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    try:
        return create_engine(
            parsed.set(drivername="postgresql+psycopg"),
            pool_pre_ping=True,
            connect_args={"connect_timeout": CONNECT_TIMEOUT_SECONDS},
        )
    except ModuleNotFoundError as error:
        raise ConfigurationInvalid("PostgreSQL needs the extra: install barograph[postgres]") from error


@contextmanager
def translated(where: str) -> Generator[None]:
    """Failures of the database as faults of ours, with one clear message."""
    try:
        yield
    except exc.IntegrityError as error:
        raise LedgerConflict(f"ledger {where} refuses the row: {error.orig}") from error
    except exc.DBAPIError as error:
        if isinstance(error, exc.ProgrammingError | exc.DataError | exc.NotSupportedError):
            raise
        if _no_space(error.orig):
            raise DiskFull(f"no space left for ledger {where}") from error
        raise LedgerUnavailable(f"ledger {where} cannot be used: {_first_line(error)}") from error
    except exc.TimeoutError as error:
        raise LedgerUnavailable(f"ledger {where} has no free connection") from error


@contextmanager
def _connected(url: str, *, reads: bool = False) -> Generator[Connection]:
    engine = open_engine(url)
    try:
        with translated(address(url)), engine.execution_options(reads=reads).begin() as connection:
            yield connection
    finally:
        engine.dispose()


def _parsed(url: str) -> URL:
    try:
        parsed = make_url(url)
    except exc.ArgumentError as error:
        raise ConfigurationInvalid("the ledger's address is no URL", expected="sqlite:/// or postgresql://") from error
    if parsed.get_backend_name() not in ("sqlite", "postgresql"):
        raise ConfigurationInvalid(
            "the ledger is SQLite or PostgreSQL", found=parsed.get_backend_name(), expected="sqlite or postgresql"
        )
    if parsed.get_backend_name() == "sqlite" and parsed.database in (None, "", ":memory:"):
        raise ConfigurationInvalid("the ledger needs a file", found=url, expected="sqlite:///<path>")
    return parsed


def _prepare_sqlite(connection: sqlite3.Connection, _: object) -> None:
    connection.isolation_level = None
    for pragma in PRAGMAS:
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    reads = connection.get_execution_options().get("reads", False)
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")


def _no_space(error: Any) -> bool:
    return (
        getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
        or getattr(error, "sqlstate", None) == POSTGRES_NO_SPACE
    )


def _first_line(error: exc.DBAPIError) -> str:
    return str(error.orig).strip().splitlines()[0]
