"""A fresh validator under each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from adapters.ledger.engine import Ledger
from adapters.object_store import ObjectStore
from tests.activities.validator.world import Validator
from tests.databases import ledger, ledger_url, migrated_url, postgres, sqlite_template
from tests.workflows.dev_server import dev_server

__all__ = ["ledger", "ledger_url", "migrated_url", "postgres", "sqlite_template"]


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    return ObjectStore(tmp_path / "objects")


@pytest.fixture
def validator(ledger: Ledger, store: ObjectStore) -> Validator:
    return Validator(ledger, store)


@pytest.fixture(scope="session")
def temporal_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The server that people run."""
    with dev_server(tmp_path_factory.mktemp("temporal")) as address:
        yield address
