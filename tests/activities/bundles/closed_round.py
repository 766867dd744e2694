"""A closed live round with one of each: kept and failed audits, a late and an absent miner, a void case, a vector."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from activities.messages.run import AdvanceRun, CloseRun, Step
from adapters.catalog import Catalog
from adapters.ledger.engine import Ledger, upgrade
from adapters.ledger.values import ScoreFact
from adapters.object_store import ObjectStore
from protocol.weights import BASELINE
from tests.activities.dossiers.judged_run import DAVE, FINAL, GRID, JudgedRun, commit, voided, write_grid
from tests.activities.validator.test_audit_records import record, take
from tests.activities.validator.test_closing import fact, fault
from tests.activities.validator.world import ALICE, BOB, CAROL, LIVE, Opened, Validator, do
from tests.activities.weights.scene import FIRST, Scene, closed_at
from weather.cases import case_set

SKILL = {ALICE.hotkey: 0.9, BOB.hotkey: 0.8, BASELINE: 0.2}


def play(folder: Path) -> JudgedRun:
    """Open, commit, seal, audit, score, close; then an epoch over this round and the next one."""
    upgrade(url := f"sqlite:///{folder / 'ledger.db'}")
    with Ledger(url) as ledger:
        objects, catalog = ObjectStore(folder / "objects"), Catalog(write_grid(folder / "grids"))
        validator = Validator(ledger, objects, catalog, miners=(ALICE, BOB, CAROL, DAVE))
        validator = validator.with_defaults(grid=GRID, hotkeys_per_address=None)
        opened = validator.open(LIVE)
        for key in (ALICE, BOB, DAVE):
            commit(validator, opened, key)
        run_id, at = opened.run.run_id, opened.window.commit_deadline + validator.defaults.seal_grace
        validator.record(fault(opened, CAROL.hotkey, "NoCommitment", "miner"))
        do(validator.runs.seal_run, Step(run_id=run_id, at=at))
        for to in ("initial_scoring_skipped", "final_scoring_triggered"):
            do(validator.runs.advance_run, AdvanceRun(run_id=run_id, to=to, reason="", at=at))
        audit(validator, opened)
        validator.record(*scored(validator, opened), voided(run_id, at, ("2t", FINAL[0]), "SourceCorrupt"))
        do(validator.runs.close_run, CloseRun(run_id=run_id, at=closed_at(FIRST)))
        scene = Scene(ledger, folder)
        scene.register(*SKILL.keys() - {BASELINE}, CAROL.hotkey)
        scene.close(FIRST + 1, {ALICE.hotkey: 0.5, BOB.hotkey: 0.7}, closed_at=closed_at(FIRST))
        scene.compute(scene.epoch(0))
    return JudgedRun(url, objects, folder / "grids", run_id)


def audit(validator: Validator, opened: Opened) -> None:
    """All are made; BOB does not serve what one of them asks for."""
    paths = validator.catalog.layout(GRID).object_set()
    for due in take(validator, opened, opened.run.valid_time(FINAL[-1])).audits:
        lost = (due.hotkey, due.number) == (BOB.hotkey, 1)
        record(validator, opened, due, *{paths[place] for place in due.objects if lost})


def scored(validator: Validator, opened: Opened) -> Iterator[ScoreFact]:
    """Of each case but the void one."""
    for case in case_set(validator.catalog.rules(GRID)):
        for hotkey, skill in SKILL.items():
            if case.key[1:3] != (FINAL[0], "2t"):
                yield fact(opened, hotkey, case.key).model_copy(update={"score": skill})
