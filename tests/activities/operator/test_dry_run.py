"""AT-O2: a dry run tells what the act does, in every field, and writes nothing."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from random import Random

import pytest

from adapters.catalog import Catalog
from adapters.ledger.engine import Ledger
from adapters.object_store import ObjectStore
from protocol.weights import BASELINE
from tests.activities.operator.scene import LEADS, MINERS, VERBS, Scene
from tests.activities.validator.world import ALICE, BOB, CAROL, T0, Validator
from weather.cases import case_set
from weather.faults import InterventionRefused
from weather.round_score import OPEN, RunRecord, decide_close, standings

RUNS, ASKED, EPOCHS = 50, 10, 140
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
        keys if random.random() < 0.7 else random.sample(keys, 2),
        [*random.sample(MINERS, random.choice([2, 3, 3])), BASELINE],
    )


def ask(scene: Scene, random: Random, changes: sqlite3.Connection) -> tuple[str | None, bool]:
    """One verb, dry and then done; answers the verb unless it was refused, and whether weights move."""
    verb = random.choices(VERBS, [3, 3, 6, 6, 6, 0.2])[0]
    wanted = {"verb": verb, "scope": scope(verb, random)}
    at, request = scene.now, str(random.random())
    record = scene.record
    (before,) = changes.execute("PRAGMA data_version").fetchone()
    try:
        dry = scene.ask(**wanted, at=at, request_id=request, dry_run=True)
    except InterventionRefused as refusal:
        assert str(refusal) == scene.refused(**wanted, at=at, request_id=request)
        assert changes.execute("PRAGMA data_version").fetchone() == (before,)
        return None, False
    assert changes.execute("PRAGMA data_version").fetchone() == (before,)
    done = scene.ask(**wanted, at=at, request_id=request)
    told = done.model_copy(update={"acts": False, "receipt": done.receipt.model_copy(update={"dry_run": True})})
    assert dry.model_dump() | {"commitment": None} == told.model_dump() | {"commitment": None}
    radius = done.receipt.blast_radius
    agrees(scene, record, radius.model_dump())
    assert radius.epochs_touched == EPOCHS or (radius.share_l1_ppb, radius.epochs_touched) == (0, 0)
    return verb, radius.share_l1_ppb > 0


def agrees(scene: Scene, before: RunRecord, radius: dict) -> None:
    """What was told is what the ledger now comes to, where nothing is open any more."""
    closings = []
    for record in (scene.record, before):
        if any(case == OPEN for case in standings(case_set(scene.rules), record).values()):
            break
        closings.append(decide_close(scene.rules, record))
    if closings:
        coverage = f"{closings[0].coverage.numerator}/{closings[0].coverage.denominator}"
        assert (radius["coverage_after"], radius["outcome_after"]) == (coverage, closings[0].outcome)
    if len(closings) < 2:
        return
    gone = closings[0].void.keys() - closings[1].void.keys()
    new, old = (places(closing.round_scores) for closing in closings)
    moved = {hotkey: (old.get(hotkey), new.get(hotkey)) for hotkey in {**old, **new}}
    assert radius["cases_voided"] == len(gone)
    assert radius["facts_superseded"] == sum(key in gone for _, key in before.scores) or not gone
    assert {hotkey: tuple(was) for hotkey, *was in radius["ranks_moved"]} == {
        hotkey: was for hotkey, was in moved.items() if was[0] != was[1]
    }


def places(scores: Mapping[str, int]) -> dict[str, int]:
    return {hotkey: 1 + sum(other > score for other in scores.values()) for hotkey, score in scores.items()}


def test_five_hundred_dry_runs_tell_what_the_act_does(validator: Validator, tmp_path: Path) -> None:
    random, acted, moved = Random(4), Counter[str | None](), 0
    Scene.sealed(validator, T0 - timedelta(hours=6)).finished().weigh(days=25)
    changes = sqlite3.connect(tmp_path / "ledger.db")
    for number in range(RUNS):
        scene = Scene.sealed(validator, T0 + timedelta(hours=6 * number))
        scene.shift = number % 3
        if number % 2:
            scene.finished().score(scene.keys, [BASELINE])
        for _ in range(ASKED):
            if not number % 2:
                grow(scene, random)
            verb, moves = ask(scene, random, changes)
            acted[verb] += 1
            moved += moves
        validator.clock.advance(timedelta(hours=6))
    changes.close()
    validator.ledger.close()
    assert acted[None] < 350 and min(acted[verb] for verb in VERBS) >= 3, acted
    assert moved >= 20


def test_the_share_that_a_void_would_move_is_what_the_close_moves(validator: Validator) -> None:
    scene = Scene.sealed(validator, T0 - timedelta(hours=6))
    assert scene.finished().ask("void", dry_run=True).receipt.blast_radius.share_l1_ppb == 0
    old = scene.weigh(days=25)
    scene = Scene.sealed(validator)
    scene.shift = 1
    scene.finished().score(scene.keys, [BASELINE])
    dry = scene.ask("void", dry_run=True).receipt.blast_radius
    new = scene.weigh(days=25)
    assert dry.share_l1_ppb > 0
    assert (dry.share_l1_ppb, dry.epochs_touched) == (sum(abs(old[one] - new[one]) for one in MINERS), EPOCHS)
