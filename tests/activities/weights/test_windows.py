"""Which rounds and which miners count at the start of an epoch."""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from temporalio.testing import ActivityEnvironment

from activities.messages.base import FaultNote
from activities.messages.weights import RecordMissed
from adapters.ledger.engine import Ledger, upgrade
from adapters.ledger.facts import facts_of, record_facts
from adapters.ledger.roster import record_deregistered
from adapters.ledger.rows import rows_of
from adapters.ledger.tables.runs import RosterEventRow
from protocol.names import run_id
from protocol.weights import ScheduledPolicy
from tests.activities.ledger.builders import fact
from tests.activities.weights.scene import ALICE, BOB, CAROL, FIRST, GENESIS, Scene, closed_at, init_time
from weather.faults import NothingToPublish
from weather.weights.policies import ParetoSubsets

HALVES = {ALICE: 0.8, BOB: 0.8}


def test_who_is_deregistered_is_told_to_open_runs_and_gets_nothing_from_the_next_epoch_on(scene: Scene) -> None:
    """AT-I3: early, late, twice, and a stranger; the facts of the open run are not touched."""
    scene.register(ALICE, BOB, CAROL)
    scene.close(FIRST, HALVES)
    open_run_id = scene.open(FIRST + 1, ALICE, BOB)
    scored = fact(run_id=open_run_id, hotkey=BOB)
    scene.play(0)
    assert scene.shares() == {ALICE: 500_000_000, BOB: 500_000_000}
    del scene.miners[BOB], scene.miners[CAROL]
    epoch = scene.epoch(1)
    assert [scene.compare(epoch), scene.compare(epoch)] == [1, 1]
    assert {(run, gone.hotkey, gone.at) for run, gone in scene.signals.sent} == {(open_run_id, BOB, epoch.as_of)}
    for late in (0, 1):
        with scene.ledger.begin() as session:
            record_facts(session, [scored])
            record_deregistered(session, open_run_id, BOB, epoch.as_of + timedelta(days=late), None)
    with scene.ledger.read() as session:
        assert facts_of(session, open_run_id) == [scored]
        assert [row.at for row in rows_of(session, RosterEventRow, open_run_id)] == [epoch.as_of]
    assert scene.compare(epoch) == 0
    scene.play(1)
    assert scene.shares() == {ALICE: 10**9}


@pytest.mark.parametrize(
    ("change", "share"), [({"enabled": False}, None), ({"base_url": "https://new.example"}, 5 * 10**8)]
)
def test_a_gap_resets_the_standing_and_a_new_address_does_not(
    scene: Scene, change: dict[str, object], share: int | None
) -> None:
    """AT-I5."""
    scene.register(ALICE, BOB)
    scene.close(FIRST, HALVES)
    scene.play(0)
    scene.register(BOB, **change)
    scene.play(1)
    scene.register(BOB)
    scene.play(2)
    assert scene.shares().get(BOB) == share


def test_entry_is_the_first_round_with_a_roster_that_has_the_hotkey_since_it_is_registered(scene: Scene) -> None:
    scene.register(ALICE)
    scene.register(BOB, valid_from=init_time(FIRST + 1))
    scene.register(CAROL, valid_from=closed_at(FIRST + 40))
    for serial in range(FIRST, FIRST + 3):
        scene.close(serial, HALVES)
    epoch = scene.epoch(20)
    scene.compute(epoch)
    told = {each["hotkey"]: (each["registered_at"], each["entry"]) for each in scene.vectors()[0].inputs["standings"]}
    assert told == {
        ALICE: (GENESIS.timestamp(), FIRST),
        BOB: (init_time(FIRST + 1).timestamp(), FIRST + 1),
        CAROL: (epoch.as_of.timestamp(), None),
    }


def test_campaigns_and_later_facts_change_no_byte_of_the_vector(scene: Scene) -> None:
    """AT-W9; AT-W10 for scores as they were closed."""
    scene.register(ALICE, BOB)
    scene.close(FIRST, HALVES)
    before = scene.play(0)
    scene.close(FIRST, {ALICE: 0.1, BOB: 0.9}, campaign="other")
    scene.close(FIRST + 1, {ALICE: 0.1, BOB: 0.9}, campaign="other")
    with scene.ledger.begin() as session:
        revised = {"hotkey": ALICE, "run_id": run_id(init_time(FIRST)), "truth_version": "era5"}
        record_facts(session, [fact(**revised, score=0.01)])
    after = scene.play(1)
    assert (after.input_digest, after.created) == (before.input_digest, False)


def test_void_and_thin_rounds_move_the_head_only(scene: Scene) -> None:
    scene.register(ALICE, BOB)
    scene.close(FIRST, HALVES)
    scene.play(0)
    scene.close(FIRST + 1, None)
    scene.close(FIRST + 2, {ALICE: 0.1, BOB: 0.9}, outcome="closed_partial", coverage="7/10", reason="partial")
    scene.open(FIRST + 3, ALICE)
    scene.close(FIRST + 4, {ALICE: 0.1, BOB: 0.9})
    thin = ScheduledPolicy(policy=scene.rules.policies[0].policy.model_copy(update={"min_coverage_ppm": 800_000}))
    object.__setattr__(scene.rules, "policies", (thin,))
    scene.play(40)
    old, new = scene.vectors()
    assert (old.head, new.head) == (FIRST, FIRST + 2)
    assert (new.shares, new.inputs["rounds"]) == (old.shares, old.inputs["rounds"])


def test_a_policy_takes_effect_at_its_epoch(scene: Scene) -> None:
    scene.register(ALICE, BOB)
    scene.close(FIRST, {ALICE: 0.8, BOB: 0.5})
    later = ScheduledPolicy(effective_from_epoch=scene.epoch(1).epoch, policy=ParetoSubsets())
    object.__setattr__(scene.rules, "policies", (*scene.rules.policies, later))
    for number in (0, 1):
        scene.play(number)
    assert [row.policy for row in scene.vectors()] == ["proportional", "pareto_subsets"]
    assert scene.shares() == {ALICE: 10**9}


def test_without_a_counted_round_nothing_is_published_and_the_epoch_is_missed(scene: Scene) -> None:
    scene.register(ALICE)
    scene.close(FIRST, None)
    epoch = scene.epoch(0)
    with pytest.raises(NothingToPublish):
        ActivityEnvironment().run(scene.weights.freeze_epoch_inputs, scene.step(epoch))
    note = FaultNote(code="NothingToPublish", cause="platform")
    scene.weights.record_missed(RecordMissed(epoch=epoch, at=scene.clock.now(), fault=note))
    assert {(row.state, row.code, row.input_digest) for row in scene.publications()} == {
        ("missed", "NothingToPublish", None)
    }
    assert scene.publish(epoch, "file").state == "missed"


SECOND_VALIDATOR = """
import sys
from adapters.ledger.engine import Ledger
from adapters.ledger import weights
from adapters.ledger.tables.weights import WeightVectorRow
from protocol.weights import WeightInputs
from sqlalchemy import select
with Ledger(sys.argv[1]) as ledger, ledger.read() as session:
    row = session.scalars(select(WeightVectorRow)).one()
    inputs = WeightInputs.of_value(row.inputs)
    cadence = weights.Cadence(int(sys.argv[2]), 21_600)
    live = weights.live_rounds(session, "test", cadence)
    rounds = weights.with_scores(session, [r for r in live if r.run_id in {c.run_id for c in inputs.rounds}])
    print(inputs.digest == row.input_digest, [list(s) for s in inputs.shares(rounds)] == row.shares)
"""


def test_another_validator_with_another_history_comes_to_the_same_shares(tmp_path: Path) -> None:
    """AT-W3: rows in another order, the registry read later for the first time, another process and hash seed."""
    scores = [{ALICE: 0.8, BOB: 0.5 + number / 100, CAROL: 0.6} for number in range(4)]
    digests = set()
    for name, order, first_epoch in (("one", range(4), 0), ("two", (3, 1, 0, 2), 30)):
        (folder := tmp_path / name).mkdir()
        upgrade(url := f"sqlite:///{folder}/ledger.db")
        with Ledger(url) as ledger:
            other = Scene(ledger, folder)
            other.register(*((ALICE, BOB, CAROL) if name == "one" else (CAROL, BOB, ALICE)))
            if first_epoch == 0:
                other.compare(other.epoch(first_epoch))
            for number in order:
                other.close(FIRST + number, scores[number])
            other.compute(other.epoch(40))
            digests.add((other.vectors()[0].input_digest, other.vectors()[0].shares_digest))
        environment = {"PYTHONHASHSEED": str(first_epoch), "OMP_NUM_THREADS": "3"}
        program = [sys.executable, "-c", SECOND_VALIDATOR, url, str(int(GENESIS.timestamp()))]
        printed = subprocess.run(program, capture_output=True, text=True, check=True, env=environment).stdout
        assert printed.split() == ["True", "True"]
    assert len(digests) == 1
