"""A run of three miners on few cases, and its operators."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from adapters.catalog import Catalog
from adapters.ledger.engine import Ledger
from adapters.object_store import ObjectStore
from tests.activities.operator.scene import Scene
from tests.activities.validator.world import ALICE, BOB, CAROL, GRID, Validator
from tests.databases import ledger, ledger_url, migrated_url, postgres, sqlite_template
from weather.score_spec import load_rules

__all__ = ["ledger", "ledger_url", "migrated_url", "postgres", "sqlite_template"]


@pytest.fixture(scope="session")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """Rules of four fields and the gate in ten leads."""
    folder, rules = tmp_path_factory.mktemp("grids"), json.loads(load_rules(GRID).canonical)
    rules["era5_final"]["fields"] = rules["era5_final"]["fields"][3:5]
    (folder / f"{GRID}.rules.json").write_text(json.dumps(rules))
    return Catalog(folder)


@pytest.fixture
def validator(ledger: Ledger, tmp_path: Path, catalog: Catalog) -> Validator:
    return Validator(ledger, ObjectStore(tmp_path / "objects"), catalog, miners=(ALICE, BOB, CAROL))


@pytest.fixture
def scene(validator: Validator) -> Scene:
    """A sealed run that has scored nothing."""
    return Scene.sealed(validator)
