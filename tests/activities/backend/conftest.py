"""A reference backend that is served, and a validator whose outbox tells it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager

import pytest
import uvicorn
from starlette.applications import Starlette

from adapters.ledger.engine import Ledger
from tests.activities.backend.teller import TOKEN, Teller
from tests.databases import ledger, ledger_url, migrated_url, postgres, sqlite_template
from tests.reference_backend import ReferenceBackend

__all__ = ["ledger", "ledger_url", "migrated_url", "postgres", "sqlite_template"]


@contextmanager
def served(app: Starlette) -> Generator[str]:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_level="critical", lifespan="off", ws="none"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ReferenceBackend, str]]:
    backend = ReferenceBackend(tmp_path_factory.mktemp("backend") / "backend.db", TOKEN)
    with served(backend.app) as url:
        yield backend, url


@pytest.fixture
def backend(address: tuple[ReferenceBackend, str]) -> ReferenceBackend:
    """The served backend, with nothing in it."""
    backend, _ = address
    backend.befall()
    with backend.connected() as connection:
        connection.execute("DELETE FROM resources")
    return backend


@pytest.fixture
def teller(ledger: Ledger, backend: ReferenceBackend, address: tuple[ReferenceBackend, str]) -> Teller:
    return Teller(ledger, backend, address[1])
