"""Weights on a chain: its port, and the mapping from hotkeys to the numbers that it knows at the moment of emission."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from datetime import timedelta
from typing import NamedTuple

from adapters.sinks.port import Submitted, WeightSink
from protocol import ss58
from protocol.weights import WeightsPayload
from weather.faults import SinkUnavailable, WeightsNotPublished
from weather.weights.apportion import as_u16, capped, registered

BLOCK_TIME = timedelta(seconds=12)

Entries = tuple[tuple[int, int], ...]  # (uid, u16), by uid


class Limits(NamedTuple):
    """What a chain takes; `max_share` in ppb."""

    rate_blocks: int
    min_entries: int
    max_share: int
    version_key: int
    commit_reveal: bool


class Published(NamedTuple):
    """The entries in force; `block` is that of the account's last submission, revealed or not."""

    block: int
    entries: Entries


class Chain(ABC):
    """Blocking; each call ends within 60 s.

    Raises:
        SinkUnavailable: the chain cannot be reached, or takes no weights yet.
    """

    @abstractmethod
    def head(self) -> int:
        """Number of the newest block."""

    @abstractmethod
    def registry(self, block: int) -> dict[str, int]:
        """The uid that each account held at the block."""

    @abstractmethod
    def limits(self) -> Limits: ...

    @abstractmethod
    def submit(self, entries: Entries, version_key: int) -> str:
        """Wait until the entries are in a block; answers a reference to it.

        Raises:
            WeightsNotPublished: the chain refuses them.
        """

    @abstractmethod
    def published(self, account: str) -> Published | None:
        """What is in force for a validator's account."""


class ChainSink(WeightSink):
    """Pays accounts, which are the hotkeys' own unless `accounts` names others; uids are looked up at emission only."""

    name = "chain"

    def __init__(
        self, chain: Chain, account: str, burn_hotkey: str | None = None, accounts: Mapping[str, str] | None = None
    ) -> None:
        self._chain = chain
        self._account = account
        self._burn_hotkey = burn_hotkey
        self._accounts = accounts or {}

    def submit(self, payload: WeightsPayload, key: str) -> Submitted:
        head, limits = self._chain.head(), self._chain.limits()
        entries = self._entries(payload, head, limits)
        last = self._chain.published(self._account)
        early = last.block + limits.rate_blocks - head if last else 0
        if last and early > 0:
            if last.entries == entries and not limits.commit_reveal:
                return Submitted("submitted", str(last.block))
            raise SinkUnavailable(f"{early} blocks too early for the chain", retry_after=early * BLOCK_TIME)
        reference = self._chain.submit(entries, limits.version_key)
        return Submitted("committed" if limits.commit_reveal else "submitted", reference)

    def confirm(self, payload: WeightsPayload, key: str) -> bool | None:
        """What is in force must be right for the uids of its own block: one that moved meanwhile makes it wrong."""
        limits, published = self._chain.limits(), self._chain.published(self._account)
        if published and published.entries == self._entries(payload, published.block, limits):
            return True
        return None if limits.commit_reveal else False

    def _entries(self, payload: WeightsPayload, block: int, limits: Limits) -> Entries:
        uids = self._chain.registry(block)
        accounts = {hotkey: self._accounts.get(hotkey) or ss58.encode(hotkey) for hotkey, _ in payload.shares}
        there = {hotkey: uids[account] for hotkey, account in accounts.items() if account in uids}
        if self._burn_hotkey in accounts and self._burn_hotkey not in there:
            raise WeightsNotPublished("the burn hotkey is not on the chain", found=self._burn_hotkey)
        paid = as_u16(capped(registered(dict(payload.shares), there), limits.max_share))
        if len(paid) < limits.min_entries:
            raise WeightsNotPublished("too few entries for the chain", found=len(paid), expected=limits.min_entries)
        return tuple(sorted((there[hotkey], share) for hotkey, share in paid.items()))
