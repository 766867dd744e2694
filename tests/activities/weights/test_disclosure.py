"""AT-P6: no share is to be seen anywhere before the chain reveals it."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from adapters.ledger.publications import shown
from adapters.ledger.weights import newest_vector
from adapters.sinks.chain import ChainSink
from protocol import ss58
from starter.commands.subjects import of_share
from tests.activities.sinks.fake_chain import LIMITS, FakeChain
from tests.activities.weights.scene import ALICE, BOB, FIRST, Scene
from weather.faults import SinkUnavailable
from workers.settings import Settings
from workers.weight_sinks import after_reveal, weights_are_silent

US = ss58.encode("99" * 32)


@pytest.fixture
def chain(scene: Scene) -> FakeChain:
    """One that reveals what was committed a little later than an epoch."""
    chain = FakeChain(US, given=LIMITS._replace(commit_reveal=True), reveal_blocks=370)
    scene.chains = [ChainSink(chain, US)]
    scene.rules = replace(scene.rules, sinks=("chain", "file", "http"), after_reveal=True)
    scene.register(ALICE, BOB)
    scene.epoch(-1)
    chain.clock = scene.clock
    chain.register(*(ss58.encode(hotkey) for hotkey in (ALICE, BOB)), US)
    return chain


def play(scene: Scene, chain: FakeChain, number: int) -> dict[str, str]:
    """An epoch, which the chain sees five minutes after its start; answers where it stands."""
    epoch = scene.epoch(number)
    scene.clock.advance(timedelta(minutes=5))
    chain.clock = scene.clock
    scene.compute(epoch)
    for sink in epoch.sinks:
        scene.publish(epoch, sink)
    return {sink: scene.confirm(epoch, sink).state for sink in epoch.sinks}


def told(scene: Scene) -> list[tuple[int, Any]]:
    """(epoch, head) of each line."""
    path = scene.folder / "weights" / "test.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return [(each["epoch"], each["head"]) for each in (json.loads(line)["weights"] for line in lines)]


def share(scene: Scene) -> str:
    with scene.ledger.read() as session:
        return of_share(session, ALICE, scene.rules, scene.clock.now())[0].says


def test_what_the_chain_hides_is_in_no_sink_and_no_answer_until_it_is_revealed(scene: Scene, chain: FakeChain) -> None:
    scene.close(FIRST, {ALICE: 0.8, BOB: 0.5})
    hidden, first = dict.fromkeys(("chain", "file", "http"), "committed"), scene.epoch(0).epoch
    assert play(scene, chain, 0) == hidden
    assert (told(scene), scene.sink.held, "no weights are there" in share(scene)) == ([], {}, True)
    assert play(scene, chain, 1) == hidden
    assert play(scene, chain, 2)["file"] == "confirmed"
    assert {row.state for row in scene.publications() if row.sink != "chain"} == {"confirmed"}
    assert told(scene) == [(first + number, FIRST) for number in range(3)]
    assert sorted(scene.sink.held) == [first, first + 1, first + 2]
    assert "has 86.2069 % of the weights" in share(scene)


def test_a_newer_vector_waits_while_the_last_revealed_one_is_still_shown(scene: Scene, chain: FakeChain) -> None:
    scene.close(FIRST, {ALICE: 0.8, BOB: 0.5})
    for number in range(3):
        play(scene, chain, number)
    scene.close(FIRST + 1, {ALICE: 0.3, BOB: 0.9}, closed_at=scene.clock.now())
    states = play(scene, chain, 3)
    assert (states["file"], {head for _, head in told(scene)}) == ("committed", {FIRST})
    assert "has 86.2069 % of the weights" in share(scene)
    with scene.ledger.read() as session:
        newest, visible = (newest_vector(session, "test", shown("test", after_reveal=each)) for each in (False, True))
        assert newest is not None and visible is not None
        assert (newest.head, visible.head) == (FIRST + 1, FIRST)
    for number in (4, 5, 6):
        play(scene, chain, number)
    assert [head for _, head in told(scene)][-1] == FIRST + 1


def test_new_shares_under_a_head_that_is_revealed_wait_too(scene: Scene, chain: FakeChain) -> None:
    scene.close(FIRST, {ALICE: 0.8, BOB: 0.5})
    for number in range(3):
        play(scene, chain, number)
    del scene.miners[BOB]
    states = play(scene, chain, 3)
    assert (states["file"], states["http"]) == ("committed", "committed")
    assert len(scene.vectors()) == 2 and len(told(scene)) == 3
    assert "has 86.2069 % of the weights" in share(scene)
    for number in (4, 5, 6):
        play(scene, chain, number)
    assert len(told(scene)) == 7


def test_a_sink_that_refuses_one_late_epoch_gets_the_others(scene: Scene, chain: FakeChain) -> None:
    scene.close(FIRST, {ALICE: 0.8, BOB: 0.5})
    first = scene.epoch(0).epoch
    scene.sink.refuses = {first}
    for number in range(4):
        play(scene, chain, number)
    states = {row.epoch - first: row.state for row in scene.publications() if row.sink == "http"}
    assert states == {0: "missed", 1: "confirmed", 2: "confirmed", 3: "confirmed"}


def test_a_sink_that_is_down_is_silent_although_newer_weights_are_kept_back(scene: Scene, chain: FakeChain) -> None:
    """AT-P4 where weights wait for the chain: a new round in each epoch, so that the newest always wait."""
    silent, scene.sink.down = [], True
    for number in range(8):
        scene.close(FIRST + number, {ALICE: 0.8, BOB: 0.5}, closed_at=scene.epoch(number).as_of - timedelta(seconds=1))
        with suppress(SinkUnavailable):
            play(scene, chain, number)
        silent.append(weights_are_silent(scene.rules, scene.ledger, scene.clock))
    assert silent[:3] == [False] * 3 and silent[-2:] == [True] * 2
    scene.sink.down = False
    for number in (8, 9):
        play(scene, chain, number)
    assert not weights_are_silent(scene.rules, scene.ledger, scene.clock)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, False),
        ({"weights_chain": "finney"}, True),
        ({"weights_chain": "finney", "weights_disclosure": "at_once"}, False),
    ],
)
def test_weights_wait_for_the_chain_unless_it_is_said_otherwise(given: dict[str, Any], expected: bool) -> None:
    whole: dict[str, Any] = {"TEMPORAL_ADDRESS": "", "TEMPORAL_NAMESPACE": "", "network": "test", "object_store": ""}
    assert after_reveal(Settings(**whole, **given)) is expected
