"""Databases and an object store under each test."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapters.object_store import ObjectStore
from tests.databases import ledger, ledger_url, migrated_url, postgres, sqlite_template

__all__ = ["ledger", "ledger_url", "migrated_url", "postgres", "sqlite_template"]


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    return ObjectStore(tmp_path / "objects")
