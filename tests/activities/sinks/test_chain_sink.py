"""Weights on a chain: who is paid is decided by the uids of the moment, and nobody else ever is."""

import asyncio
import random
import time
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest

from adapters.sinks.chain import BLOCK_TIME, ChainSink, Entries
from adapters.sinks.port import Submitted
from protocol import ss58
from tests.activities.sinks.fake_chain import LIMITS, FakeChain
from tests.unit.protocol.test_weights import payload
from weather.faults import NothingToPublish, SinkUnavailable, WeightsNotPublished

US = ss58.encode("99" * 32)
A, B, C, BURNER = ("0a" * 32, "0b" * 32, "0c" * 32, "0d" * 32)
POWER = {A: 642_857_143, B: 285_714_286, C: 71_428_571}


@dataclass
class Place:
    """A chain on which A, B, C, the burner and we hold the uids 0 … 4."""

    chain: FakeChain = field(default_factory=lambda: FakeChain(US))
    burn_hotkey: str | None = None
    epoch: int = 1

    def __post_init__(self) -> None:
        self.chain.register(*(ss58.encode(hotkey) for hotkey in (A, B, C, BURNER)), US)

    def sink(self) -> ChainSink:
        return ChainSink(self.chain, US, self.burn_hotkey)

    def submit(self, shares: dict[str, int] = POWER) -> Submitted:
        return self.sink().submit(payload(shares=tuple(shares.items())), "key")

    def confirm(self, shares: dict[str, int] = POWER) -> bool | None:
        return self.sink().confirm(payload(shares=tuple(shares.items())), "key")

    def entries(self) -> Entries:
        return self.chain.submissions[-1].entries

    def pass_blocks(self, blocks: int) -> None:
        self.chain.clock.advance(blocks * BLOCK_TIME)

    def limit(self, **changes: Any) -> None:
        self.chain.given = LIMITS._replace(**changes)


@pytest.mark.parametrize(
    ("shares", "max_share", "entries"),
    [
        ({A: 709_217_796, B: 290_782_204}, 10**9, ((0, 65_535), (1, 26_870))),
        (POWER, 10**9, ((0, 65_535), (1, 29_127), (2, 7_282))),
        (POWER, 500_000_000, ((0, 65_535), (1, 52_428), (2, 13_107))),
        ({A: 999_995_000, B: 5_000}, 10**9, ((0, 65_535),)),
        ({B: 10**9}, 10**9, ((1, 65_535),)),
    ],
)
def test_shares_become_the_numbers_of_the_chain(shares: dict[str, int], max_share: int, entries: Entries) -> None:
    place = Place()
    place.limit(max_share=max_share)
    assert place.submit(shares) == Submitted("submitted", "1000-0")
    assert place.entries() == entries
    assert place.confirm(shares) is True


def test_emission_pays_no_stranger_however_uids_move() -> None:
    """AT-I2: shares follow the hotkeys through all moves; whose uid is gone gets nothing."""
    draw, place = random.Random(7), Place()
    strangers = [ss58.encode(f"{number:02x}" * 32) for number in range(0x80, 0x90)]
    paid = {ss58.encode(hotkey): hotkey for hotkey in POWER}
    for _ in range(200):
        place.chain.move(draw.choice([*paid, *strangers]), draw.randrange(5))
        place.pass_blocks(100)
        held = {uid: account for account, uid in place.chain.registry(place.chain.block).items()}
        there = [hotkey for account, hotkey in paid.items() if account in held.values()]
        if not there:
            with pytest.raises(NothingToPublish):
                place.submit()
            continue
        place.submit()
        values = {paid[held[uid]]: value for uid, value in place.entries()}
        assert values.keys() == {*there}
        largest = max(POWER[hotkey] for hotkey in there)
        assert all(abs(value - 65_535 * POWER[hotkey] / largest) <= 1 for hotkey, value in values.items())
        assert place.confirm() is True


def test_a_uid_that_moved_after_it_was_looked_up_is_not_confirmed_and_is_put_right() -> None:
    place = Place()
    place.submit()
    place.chain.move(ss58.encode("80" * 32), 0)
    assert place.confirm() is False
    place.pass_blocks(100)
    place.submit()
    assert dict(place.entries()).keys() == {1, 2}
    assert place.confirm() is True


def test_what_moved_after_inclusion_changes_nothing_of_this_epoch() -> None:
    place = Place()
    place.submit()
    place.pass_blocks(1)
    place.chain.move(ss58.encode("80" * 32), 0)
    assert place.confirm() is True


@pytest.mark.parametrize(
    ("min_entries", "burn_hotkey", "gone", "shares", "fault"),
    [
        (4, None, 0, POWER, WeightsNotPublished),
        (2, None, 0, {A: 999_995_000, B: 5_000}, WeightsNotPublished),
        (1, BURNER, 3, {A: 400_000_000, BURNER: 600_000_000}, WeightsNotPublished),
        (1, None, 0, {A: 10**9}, NothingToPublish),
    ],
)
def test_nothing_is_invented_for_what_the_chain_does_not_hold(
    min_entries: int, burn_hotkey: str | None, gone: int, shares: dict[str, int], fault: type[Exception]
) -> None:
    place = Place(burn_hotkey=burn_hotkey)
    place.limit(min_entries=min_entries)
    if fault is NothingToPublish or gone:
        place.chain.move(ss58.encode("80" * 32), gone)
    with pytest.raises(fault):
        place.submit(shares)
    assert place.chain.submissions == []


def test_the_burn_hotkey_is_paid_and_missed_only_where_something_is_burned() -> None:
    place = Place(burn_hotkey=BURNER)
    place.submit({A: 250_000_000, BURNER: 750_000_000})
    assert place.entries() == ((0, 21_845), (3, 65_535))
    place.pass_blocks(100)
    place.chain.move(ss58.encode("80" * 32), 3)
    place.submit()
    assert dict(place.entries()).keys() == {0, 1, 2}


def test_another_account_may_stand_for_a_hotkey() -> None:
    place, other = Place(), ss58.encode("77" * 32)
    place.chain.move(other, 9)
    ChainSink(place.chain, US, accounts={A: other}).submit(payload(shares=((A, 10**9),)), "key")
    assert place.entries() == ((9, 65_535),)


def test_an_attempt_whose_answer_was_lost_is_found_on_the_chain() -> None:
    place = Place()
    place.submit()
    place.pass_blocks(3)
    assert place.submit() == Submitted("submitted", "1000")
    assert len(place.chain.submissions) == 1


def test_too_early_says_when() -> None:
    place = Place()
    place.submit()
    place.pass_blocks(40)
    with pytest.raises(SinkUnavailable) as early:
        place.submit({A: 10**9})
    assert early.value.retry_after == timedelta(minutes=12)
    place.pass_blocks(60)
    place.submit({A: 10**9})
    assert place.confirm({A: 10**9}) is True
    assert place.confirm() is False


def test_an_outage_is_ours_and_passes() -> None:
    place = Place()
    assert place.confirm() is False
    place.chain.down = True
    for call in (place.submit, place.confirm):
        with pytest.raises(SinkUnavailable):
            call()
    place.chain.down = False
    place.submit()
    assert place.confirm() is True


def test_what_is_committed_is_confirmed_when_it_is_revealed_and_not_before() -> None:
    """AT-P6: no share is to be seen on the chain before its reveal."""
    place = Place()
    place.limit(commit_reveal=True)
    assert place.submit().state == "committed"
    place.pass_blocks(359)
    assert place.confirm() is None
    assert place.submit({A: 10**9}).state == "committed"
    place.pass_blocks(1)
    assert (place.confirm(), place.confirm({A: 10**9})) == (True, None)
    place.pass_blocks(359)
    assert (place.confirm(), place.confirm({A: 10**9})) == (None, True)


async def test_a_chain_that_stalls_does_not_hold_up_the_event_loop() -> None:
    """AT-P6: the lag of the loop beside stalled calls."""
    place, lags = Place(), []
    place.chain.runs.clear()
    calls = [asyncio.create_task(asyncio.to_thread(place.submit)) for _ in range(4)]
    for _ in range(100):
        due = time.perf_counter() + 0.005
        await asyncio.sleep(0.005)
        lags.append(time.perf_counter() - due)
    assert not any(call.done() for call in calls)
    place.chain.runs.set()
    assert {(await call).state for call in calls} == {"submitted"}
    assert sorted(lags)[98] < 0.1


def test_an_entry_has_one_uid_each_in_their_order() -> None:
    place = Place()
    place.chain.move(ss58.encode(A), 7)
    place.submit()
    assert all(one < other for (one, _), (other, _) in pairwise(place.entries()))
