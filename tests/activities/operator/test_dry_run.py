"""AT-O2: a dry run tells what the act does, in every field, and writes nothing."""

from __future__ import annotations

import sqlite3
from collections import Counter
from datetime import timedelta
from pathlib import Path
from random import Random

import pytest

from adapters.catalog import Catalog
from adapters.ledger.engine import Ledger
from adapters.object_store import ObjectStore
from tests.activities.operator.scene import LEADS, MINERS, VERBS, Scene
from tests.activities.validator.world import ALICE, BOB, CAROL, T0, Validator
from weather.cases import case_set
from weather.faults import InterventionRefused
from weather.round_score import OPEN, decide_close, standings

RUNS, ASKED = 50, 10
VALUES = {
    "pass": ["era5_final", "day1_qc"],
    "lead": [*LEADS, *LEADS, 23],
    "variable": ["t", "msl", "q"],
    "level": ["surface", 850],
    "region": ["global", "europe"],
    "miner": [*MINERS, "9" * 64],
}
CASES = ["lead", "lead", "lead pass", "lead variable", "variable level", "pass", "lead region", "miner", ""]
SCOPES = {"rerun": ["lead", "pass", "miner", "miner lead", "variable", ""], "skip": CASES, "accept": CASES}


@pytest.fixture
def validator(sqlite_template: Path, tmp_path: Path, catalog: Catalog) -> Validator:
    path = tmp_path / "ledger.db"
    path.write_bytes(sqlite_template.read_bytes())
    store = ObjectStore(tmp_path / "objects")
    return Validator(Ledger(f"sqlite:///{path}"), store, catalog, miners=(ALICE, BOB, CAROL))


def scope(verb: str, random: Random) -> str | None:
    names = random.choice(SCOPES.get(verb, [""])).split()
    return ",".join(f"{name}:{random.choice(VALUES[name])}" for name in names) or random.choice([None, "run"])


def grow(scene: Scene, random: Random) -> None:
    """More is scored: whole leads, some cases of some miners, the day-1 pass."""
    lead = random.choice([0, *LEADS])
    scene.play(lead, running=random.random() < 0.3)
    keys = scene.lead(lead) if lead else [key for key in scene.keys if key.pass_ == "day1_qc"]
    scene.score(
        keys if random.random() < 0.7 else random.sample(keys, 2), random.sample(MINERS, random.choice([2, 3, 3]))
    )


def ask(scene: Scene, random: Random, changes: sqlite3.Connection) -> str | None:
    """One verb, dry and then done; answers the verb unless it was refused."""
    verb = random.choices(VERBS, [3, 3, 6, 6, 6, 0.2])[0]
    wanted = {"verb": verb, "scope": scope(verb, random)}
    at, request = scene.now, str(random.random())
    (before,) = changes.execute("PRAGMA data_version").fetchone()
    try:
        dry = scene.ask(**wanted, at=at, request_id=request, dry_run=True)
    except InterventionRefused as refusal:
        assert str(refusal) == scene.refused(**wanted, at=at, request_id=request)
        assert changes.execute("PRAGMA data_version").fetchone() == (before,)
        return None
    assert changes.execute("PRAGMA data_version").fetchone() == (before,)
    done = scene.ask(**wanted, at=at, request_id=request)
    told = done.model_copy(update={"acts": False, "receipt": done.receipt.model_copy(update={"dry_run": True})})
    assert dry.model_dump() | {"commitment": None} == told.model_dump() | {"commitment": None}
    agrees(scene, done.receipt.blast_radius.model_dump())
    return verb


def agrees(scene: Scene, radius: dict) -> None:
    """What was told is what the ledger now comes to, where nothing is open any more."""
    record = scene.record
    if all(case != OPEN for case in standings(case_set(scene.rules), record).values()):
        closing = decide_close(scene.rules, record)
        coverage = f"{closing.coverage.numerator}/{closing.coverage.denominator}"
        assert (radius["coverage_after"], radius["outcome_after"]) == (coverage, closing.outcome)


def test_five_hundred_dry_runs_tell_what_the_act_does(validator: Validator, tmp_path: Path) -> None:
    random, acted = Random(4), Counter[str | None]()
    changes = sqlite3.connect(tmp_path / "ledger.db")
    for number in range(RUNS):
        scene = Scene.sealed(validator, T0 + timedelta(hours=6 * number))
        if number % 2:
            scene.finished()
        for _ in range(ASKED):
            if not number % 2:
                grow(scene, random)
            acted[ask(scene, random, changes)] += 1
        validator.clock.advance(timedelta(hours=6))
    changes.close()
    validator.ledger.close()
    assert acted[None] < 350 and min(acted[verb] for verb in VERBS) >= 3, acted
