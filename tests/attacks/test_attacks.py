"""Every attack ends with its code and costs nobody else a bit."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import pytest

from protocol.commitment import first_broken
from protocol.messages import CommitmentData
from protocol.receipt import CommitmentAnswer
from tests.attacks import chunks, commitments, forecasts, manifests, peers
from tests.attacks.honest import Miner
from tests.attacks.world import Outcome, World, play

ATTACKS = (*commitments.ATTACKS, *manifests.ATTACKS, *chunks.ATTACKS, *forecasts.ATTACKS, *peers.ATTACKS)
HONEST = ("honest-1", "honest-2", "honest-3")
WORKER_BYTES = 2**30
SLOT_SECONDS = 40  # a lead: at most 15 chunks, four at a time, each with 5 s; and the load of the machine

Scopes = set[tuple[str, int, str, str]]

pytestmark = [pytest.mark.timeout(300), pytest.mark.chaos]


def name_of(attack: type[Miner]) -> str:
    """A registry name made of the class name."""
    return re.sub(r"(?<!^)(?=[A-Z])", "-", attack.__name__).lower()[:32].strip("-")


@dataclass(frozen=True)
class Gallery:
    """A run with every attacker in it, and the same run without them."""

    miners: dict[str, Miner]
    attacked: Outcome
    clean: Outcome
    trapped: int


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Generator[Gallery]:
    clean = World(_folder(tmp_path_factory, "clean"), wait_minutes=0.3)
    with clean.trap():
        quiet = asyncio.run(play(clean, [Miner(clean, name) for name in HONEST]))
    world = World(_folder(tmp_path_factory, "attacked"))
    miners = [Miner(world, name) for name in HONEST] + [attack(world, name_of(attack)) for attack in ATTACKS]
    with world.trap() as hits:
        loud = asyncio.run(play(world, miners))
    yield Gallery({miner.name: miner for miner in miners}, loud, quiet, len(hits))


def _folder(factory: pytest.TempPathFactory, name: str) -> Path:
    return factory.mktemp(name)


def test_there_are_at_least_thirty_attacks() -> None:
    assert len([attack for attack in ATTACKS if attack.code]) >= 30


def test_the_run_closes(gallery: Gallery) -> None:
    assert gallery.attacked.outcome == gallery.clean.outcome == "closed"


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_the_attack_ends_with_its_code_and_scope(gallery: Gallery, attack: type[Miner]) -> None:
    miner = gallery.miners[name_of(attack)]
    faults = gallery.attacked.faults.get(miner.key.hotkey, [])
    scopes: Scopes = {(fault.pass_, fault.lead_hours, fault.variable, fault.code) for fault in faults}
    assert scopes == expected(miner, scopes)
    if attack.code and attack.scope == "run" and attack.code != "HindcastDeclined":
        assert gallery.attacked.rows[miner.name].score_nano == 0


def expected(miner: Miner, found: Scopes) -> Scopes:
    """The fault records that an attack must leave, and no others."""
    code = miner.code
    if code is None:
        return set()
    if miner.scope == "run":
        return {("*", -1, "*", code)}
    if miner.scope == "case":
        return {("era5_final", 24, "2t", code)}
    if miner.scope == "lead":
        return {("era5_final", 24, variable.name, code) for variable in miner.layout.variables}
    components = {one for one in found if one[0] == "day1_qc" and one[1] in (6, 12) and one[3] == code}
    assert components
    gate = {("day1_qc", -1, "gate", code)} if miner.scope == "gate" else set()
    return components | gate


@pytest.mark.parametrize("name", HONEST)
def test_an_honest_miner_scores_as_without_the_attackers_bit_for_bit(gallery: Gallery, name: str) -> None:
    hotkey = gallery.miners[name].key.hotkey
    assert gallery.attacked.documents(hotkey) == gallery.clean.documents(hotkey)
    assert gallery.attacked.documents(hotkey)
    assert hotkey not in gallery.attacked.faults
    assert gallery.attacked.rows[name].score_nano == gallery.clean.rows[name].score_nano


@pytest.mark.parametrize("name", HONEST)
def test_each_object_of_an_honest_miner_is_read_once(gallery: Gallery, name: str) -> None:
    assert set(gallery.miners[name].gets.values()) == {1}


def test_a_redirect_reaches_nobody(gallery: Gallery) -> None:
    assert gallery.trapped == 0


def test_no_attack_takes_the_memory_of_the_worker(gallery: Gallery) -> None:
    assert gallery.attacked.peak_worker_bytes < WORKER_BYTES


def test_no_attack_holds_a_slot_beyond_its_budget(gallery: Gallery) -> None:
    assert 0 < gallery.attacked.longest_attempt_seconds < SLOT_SECONDS


@pytest.mark.parametrize("attack", peers.ON_THE_VALIDATOR, ids=lambda attack: attack.__name__)
def test_the_http_side_answers_by_its_rules(gallery: Gallery, attack: type[peers.AttacksTheValidator]) -> None:
    miner = gallery.miners[name_of(attack)]
    assert isinstance(miner, attack)
    assert miner.attacking.exception() is None
    assert set(miner.answers) == attack.answered


def test_a_receipt_does_not_wait_for_a_flood(gallery: Gallery) -> None:
    miner, flood = (gallery.miners[name_of(kind)] for kind in (peers.PushesBesideTheFlood, peers.FloodsAsAStranger))
    assert isinstance(miner, peers.PushesBesideTheFlood)
    assert isinstance(flood, peers.FloodsAsAStranger)
    assert miner.waited_seconds < flood.took_seconds / 4


def test_any_bit_flipped_in_a_receipt_of_the_run_breaks_it(gallery: Gallery) -> None:
    miner = gallery.miners["honest-1"]
    answer = json.dumps(json.loads(miner.receipt)["data"]).encode()
    value = miner.commitment_value()
    offer = CommitmentData(commitment=value, signature=miner.signature(value))
    hotkeys = miner.key.hotkey, miner.world.validator.hotkey

    def holds(body: bytes) -> bool:
        try:
            return first_broken(offer, CommitmentAnswer.parse(body), *hotkeys) is None
        except ValueError:
            return False

    assert holds(answer)
    places = ((at, 1 << bit) for at in range(len(answer)) for bit in range(8))
    flipped = (answer[:at] + bytes([answer[at] ^ bit]) + answer[at + 1 :] for at, bit in places)
    assert not [body for body in flipped if holds(body)]
