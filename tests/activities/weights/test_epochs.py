"""Epochs over rounds in the ledger: computed once, emitted each tempo, whoever dies in between."""

from __future__ import annotations

import json
from collections.abc import Generator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, event

from activities.messages.base import FaultNote
from activities.messages.weights import RecordMissed
from adapters.ledger.engine import Ledger, upgrade
from tests.activities.weights.scene import ALICE, BOB, FIRST, Scene, closed_at
from tests.fixed_clock import FixedClock
from weather.faults import SinkUnavailable, WeightsNotPublished
from workers.weight_sinks import weights_are_silent, weights_are_stale

HALVES = {ALICE: 0.8, BOB: 0.8}


def test_ten_epochs_of_the_same_rounds_emit_one_vector_ten_times(scene: Scene) -> None:
    """AT-P2."""
    scene.register(ALICE, BOB)
    scene.close(FIRST, {ALICE: 0.8, BOB: 0.5})
    created = [(scene.play(number)).created for number in range(10)]
    assert created == [True] + [False] * 9
    assert len(scene.vectors()) == 1
    assert {(row.sink, row.state) for row in scene.publications()} == {("file", "confirmed"), ("http", "confirmed")}
    assert len(scene.publications()) == 20
    payloads = [json.loads(line)["weights"] for line in scene.lines()]
    assert [payload.pop("epoch") for payload in payloads] == sorted(scene.sink.held)
    assert [json.loads(held) for held in scene.sink.held.values()] == [
        payload | {"epoch": epoch} for epoch, payload in zip(sorted(scene.sink.held), payloads, strict=True)
    ]
    assert payloads == [payloads[0]] * 10
    assert payloads[0]["shares"] == sorted([[ALICE, 862_068_966], [BOB, 137_931_034]])


def test_a_round_enters_exactly_the_epochs_that_start_after_it_closed(scene: Scene) -> None:
    """KP6: the first closes just before epoch 0, the second at the very start of epoch 1."""
    scene.register(ALICE, BOB)
    scene.close(FIRST, HALVES)
    at_start_of_1 = scene.epoch(1).as_of
    scene.close(FIRST + 1, {ALICE: 0.3, BOB: 0.9}, closed_at=at_start_of_1)
    heads = []
    for number in range(3):
        scene.play(number)
        heads.append(scene.vectors()[-1].head)
    assert heads == [FIRST, FIRST, FIRST + 1]


def test_what_sinks_took_and_nobody_recorded_is_found_by_read_back(scene: Scene) -> None:
    """KP7."""
    scene.register(ALICE)
    scene.close(FIRST, {ALICE: 0.8})
    epoch = scene.epoch(0)
    scene.compute(epoch)
    scene.sink.dies = True
    with pytest.raises(SinkUnavailable):
        scene.publish(epoch, "http")
    scene.sink.dies = False
    assert scene.publish(epoch, "http", attempt=2).state == "submitted"
    assert scene.confirm(epoch, "http").state == "confirmed"
    assert scene.sink.submissions == 1


class Killed(BaseException):
    """Nobody catches it, as with a process that is gone."""


@contextmanager
def killed_at(statement: int) -> Generator[list[int]]:
    """Dies before the so-manieth statement of any ledger."""
    seen = [0]

    def count(*_: object) -> None:
        seen[0] += 1
        if seen[0] == statement:
            raise Killed

    event.listen(Engine, "before_cursor_execute", count)
    try:
        yield seen
    finally:
        event.remove(Engine, "before_cursor_execute", count)


def test_killed_between_any_two_statements_all_is_there_once(tmp_path: Path) -> None:
    """AT-P3: one line, one resource, one row."""
    counts = [_killed(tmp_path / "undisturbed", 10**6)]
    for statement in range(1, counts[0] + 1):
        counts.append(_killed(tmp_path / str(statement), statement))
    assert counts[0] > 30


def _killed(folder: Path, statement: int) -> int:
    """Play an epoch, die once, play it again as Temporal would; answers how many statements there were."""
    folder.mkdir()
    upgrade(url := f"sqlite:///{folder}/ledger.db")
    with Ledger(url) as ledger:
        scene = Scene(ledger, folder)
        scene.register(ALICE, BOB)
        scene.close(FIRST, {ALICE: 0.8, BOB: 0.5})
        with killed_at(statement) as seen:
            try:
                scene.play(0)
            except Killed:
                _again(scene)
        assert (len(scene.vectors()), len(scene.lines()), len(scene.sink.held), len(scene.publications())) == (
            1,
            1,
            1,
            2,
        )
        assert {row.state for row in scene.publications()} == {"confirmed"}
        assert scene.sink.submissions == 1
        assert scene.vectors()[0].shares == sorted([[ALICE, 862_068_966], [BOB, 137_931_034]])
        return seen[0]


def _again(scene: Scene) -> None:
    epoch = scene.epoch(0)
    scene.compute(epoch)
    for sink in epoch.sinks:
        scene.publish(epoch, sink, attempt=2)
        scene.confirm(epoch, sink)


def test_a_sink_that_is_down_for_three_tempos_is_told_and_never_made_up_for(scene: Scene) -> None:
    """AT-P4: silent from the end of the second epoch on, until the next confirmation."""
    scene.register(ALICE)
    scene.close(FIRST, {ALICE: 0.8})
    first = scene.epoch(0).epoch
    scene.play(0)
    assert [_silent_after(scene, number) for number in (1, 2, 3)] == [False, True, True]
    late = scene.epoch(4)
    scene.compute(late)
    scene.clock.advance(late.publish_until - late.as_of)
    with pytest.raises(WeightsNotPublished):
        scene.publish(late, "http")
    scene.play(5)
    assert not weights_are_silent(scene.rules, scene.ledger, scene.clock)
    assert sorted(scene.sink.held) == [first, first + 5]
    states = {row.epoch - first: row.state for row in scene.publications() if row.sink == "http"}
    assert states == {0: "confirmed", 1: "missed", 2: "missed", 3: "missed", 4: "missed", 5: "confirmed"}


def _silent_after(scene: Scene, number: int) -> bool:
    """Play an epoch in which one sink is down; answers what health says at its end."""
    epoch = scene.epoch(number)
    scene.compute(epoch)
    scene.publish(epoch, "file")
    scene.confirm(epoch, "file")
    scene.sink.down = True
    with pytest.raises(SinkUnavailable):
        scene.publish(epoch, "http")
    scene.sink.down = False
    missed = RecordMissed(epoch=epoch, at=epoch.publish_until, fault=FaultNote(code="X", cause="platform"))
    for _ in range(2):
        scene.weights.record_missed(missed)
    scene.epoch(number + 1)
    return weights_are_silent(scene.rules, scene.ledger, scene.clock)


def test_without_a_new_counted_round_for_five_days_weights_are_stale_and_emitted_all_the_same(scene: Scene) -> None:
    scene.register(ALICE)
    assert weights_are_stale(scene.rules, scene.ledger, scene.clock) is None
    scene.close(FIRST, {ALICE: 0.8})
    scene.close(FIRST + 1, None)
    scene.close(FIRST + 3, {ALICE: 0.8}, closed_at=closed_at(FIRST) + timedelta(days=1))
    scene.clock = FixedClock(closed_at(FIRST) + timedelta(days=5, seconds=-1))
    assert weights_are_stale(scene.rules, scene.ledger, scene.clock) is None
    scene.clock.advance(timedelta(seconds=1))
    assert weights_are_stale(scene.rules, scene.ledger, scene.clock) == closed_at(FIRST)
    scene.play(120)
    assert weights_are_stale(scene.rules, scene.ledger, scene.clock) == closed_at(FIRST)
    scene.close(FIRST + 2, None)
    scene.clock = FixedClock(closed_at(FIRST) + timedelta(days=6, seconds=-1))
    assert weights_are_stale(scene.rules, scene.ledger, scene.clock) is None


def test_weights_that_are_to_be_revealed_are_confirmed_in_a_later_epoch(scene: Scene) -> None:
    """AT-P6: `committed`, then `confirmed`."""
    scene.register(ALICE)
    scene.close(FIRST, {ALICE: 0.8})
    scene.sink.hides = True
    epoch = scene.epoch(0)
    scene.compute(epoch)
    assert scene.publish(epoch, "http").state == scene.confirm(epoch, "http").state == "committed"
    scene.sink.hides = False
    scene.play(1)
    assert [row.state for row in scene.publications() if row.sink == "http"] == ["confirmed", "confirmed"]
