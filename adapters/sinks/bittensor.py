"""The chain of the extra `bittensor`, which is loaded when this sink is made: one connection a call."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

from adapters.sinks.chain import BLOCK_TIME, Chain, Entries, Limits, Published
from weather.faults import ConfigurationInvalid, SinkUnavailable, WeightsNotPublished

CALL_SECONDS = 60
LARGEST_U16 = 65_535
MOST_BELOW_A_CAP = 998_000_000  # ppb of it, since 256 entries rounded to u16 can make the largest share greater
LIMITS = [
    "WeightsSetRateLimit",
    "MinAllowedWeights",
    "MaxWeightsLimit",
    "WeightsVersionKey",
    "CommitRevealWeightsEnabled",
]
PASSING = {"RATE_LIMITED", "TOO_EARLY", "INTERNAL", "UNKNOWN"}  # what a later attempt may find changed
PAUSE = 10 * BLOCK_TIME

T = TypeVar("T")


class BittensorChain(Chain):
    """One subnet, seen by the holder of a wallet named `<wallet>/<hotkey>`."""

    def __init__(self, network: str, netuid: int, wallet: str, folder: Path) -> None:
        try:
            self._sdk: Any = import_module("bittensor")
        except ImportError as error:
            raise ConfigurationInvalid("the chain sink needs the extra bittensor") from error
        self._network, self._netuid = network, netuid
        self._wallet = self._sdk.Wallet(wallet, path=str(folder))
        self.account: str = self._wallet.hotkey.ss58_address

    def head(self) -> int:
        return self._ask(lambda client: client.block())

    def registry(self, block: int) -> dict[str, int]:
        async def read(client: Any) -> dict[str, int]:
            keys = await client.query_map(self._sdk.storage.SubtensorModule.Keys, [self._netuid], block=block)
            return {str(account): int(uid) for uid, account in keys}

        return self._ask(read)

    def limits(self) -> Limits:
        async def read(client: Any) -> Limits:
            subnet, here = self._sdk.storage.SubtensorModule, [self._netuid]
            values = [int(await client.query(getattr(subnet, name), here)) for name in LIMITS]
            rate_blocks, min_entries, largest, version_key = values
            hidden = await client.query(subnet.CommitRevealWeightsEnabled, here)
            share = 10**9 if largest >= LARGEST_U16 else largest * MOST_BELOW_A_CAP // LARGEST_U16
            return Limits(rate_blocks, min_entries, share, version_key, commit_reveal=bool(hidden))

        return self._ask(read)

    def submit(self, entries: Entries, version_key: int) -> str:
        async def write(client: Any) -> str:
            uids, weights = [uid for uid, _ in entries], [float(weight) for _, weight in entries]
            intent = self._sdk.SetWeights(self._netuid, uids, weights, version_key=version_key)
            try:
                result = await client.execute(intent, self._wallet, wait_for_finalization=False)
                return str(result.raise_for_failure().extrinsic_id)
            except self._sdk.ChainError as error:
                if error.code.name in PASSING:
                    raise SinkUnavailable(f"chain: {error}", retry_after=PAUSE) from error
                raise WeightsNotPublished(f"chain: {error}") from error

        return self._ask(write)

    def published(self, account: str) -> Published | None:
        async def read(client: Any) -> Published | None:
            subnet, view = self._sdk.storage.SubtensorModule, await client.at()
            uid = await view.query(subnet.Uids, [self._netuid, account])
            if uid is None:
                return None
            row = await view.query(subnet.Weights, [self._netuid, uid])
            updated = await view.query(subnet.LastUpdate, [self._netuid])
            return Published(int(updated[uid]), tuple(sorted((int(to), int(weight)) for to, weight in row or ())))

        return self._ask(read)

    def _ask(self, question: Callable[[Any], Awaitable[T]]) -> T:
        async def ask() -> T:
            async with self._sdk.Client(self._network) as client:
                return await question(client)

        try:
            return asyncio.run(asyncio.wait_for(ask(), CALL_SECONDS))
        except (self._sdk.BittensorError, OSError, TimeoutError) as error:
            raise SinkUnavailable(f"chain: {type(error).__name__}: {error}") from error
