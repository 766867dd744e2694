"""A fresh validator under each test."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapters.ledger.engine import Ledger
from adapters.object_store import LocalObjects
from tests.activities.validator.world import Validator
from tests.databases import ledger, ledger_url, migrated_url, postgres, sqlite_template

__all__ = ["ledger", "ledger_url", "migrated_url", "postgres", "sqlite_template"]


@pytest.fixture
def store(tmp_path: Path) -> LocalObjects:
    return LocalObjects(tmp_path / "objects")


@pytest.fixture
def validator(ledger: Ledger, store: LocalObjects) -> Validator:
    return Validator(ledger, store)
