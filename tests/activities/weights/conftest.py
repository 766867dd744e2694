"""A validator whose rounds are written down by hand, on each database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from adapters.ledger.engine import Ledger
from tests.activities.weights.scene import Scene
from tests.databases import ledger, ledger_url, migrated_url, postgres, sqlite_template

__all__ = ["ledger", "ledger_url", "migrated_url", "postgres", "sqlite_template"]


@pytest.fixture
def scene(ledger: Ledger, tmp_path: Path) -> Iterator[Scene]:
    yield Scene(ledger, tmp_path)
