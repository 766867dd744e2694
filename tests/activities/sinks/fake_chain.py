"""A chain in memory: its clock is handed in, uids move, weights are revealed late, and it fails on request."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import Event
from typing import NamedTuple

from adapters.sinks.chain import BLOCK_TIME, Chain, Entries, Limits, Published
from tests.fixed_clock import FixedClock
from weather.faults import SinkUnavailable, WeightsNotPublished

GENESIS = datetime(2026, 1, 1, tzinfo=UTC)
LIMITS = Limits(rate_blocks=100, min_entries=1, max_share=10**9, version_key=7, commit_reveal=False)


class Move(NamedTuple):
    account: str
    uid: int
    block: int


def running() -> Event:
    event = Event()
    event.set()
    return event


@dataclass
class FakeChain(Chain):
    """Seen by the holder of `account`; cleared, `runs` stalls every call."""

    account: str
    clock: FixedClock = field(default_factory=lambda: FixedClock(GENESIS + 1_000 * BLOCK_TIME))
    given: Limits = LIMITS
    reveal_blocks: int = 360
    down: bool = False
    runs: Event = field(default_factory=running)
    submissions: list[Published] = field(default_factory=list)
    moves: list[Move] = field(default_factory=list)
    """Each takes the uid, and its account leaves the one it had; the last of a uid holds it."""

    def register(self, *accounts: str) -> None:
        """Each account takes the next uid."""
        for account in accounts:
            self.move(account, len({move.uid for move in self.moves}))

    def move(self, account: str, uid: int) -> None:
        self.moves.append(Move(account, uid, self.block))

    @property
    def block(self) -> int:
        return (self.clock.now() - GENESIS) // BLOCK_TIME

    def head(self) -> int:
        self._answer()
        return self.block

    def registry(self, block: int) -> dict[str, int]:
        self._answer()
        done = [move for move in self.moves if move.block <= block]
        uids = {move.uid: move for move in done}
        last = {move.account: move for move in done}
        return {move.account: move.uid for move in uids.values() if last[move.account] == move}

    def limits(self) -> Limits:
        self._answer()
        return self.given

    def submit(self, entries: Entries, version_key: int) -> str:
        self._answer()
        if self.submissions and self.block < self.submissions[-1].block + self.given.rate_blocks:
            raise SinkUnavailable("rate limit")
        unknown = dict(entries).keys() - set(self.registry(self.block).values())
        if unknown or version_key < self.given.version_key or len(entries) < self.given.min_entries:
            raise WeightsNotPublished("refused")
        self.submissions.append(Published(self.block, entries))
        return f"{self.block}-0"

    def published(self, account: str) -> Published | None:
        self._answer()
        if account != self.account or not self.submissions:
            return None
        delay = self.reveal_blocks if self.given.commit_reveal else 0
        revealed = [made.entries for made in self.submissions if made.block + delay <= self.block]
        return Published(self.submissions[-1].block, revealed[-1] if revealed else ())

    def _answer(self) -> None:
        if not self.runs.wait(60):
            raise SinkUnavailable("no answer")
        if self.down:
            raise SinkUnavailable("no connection")
