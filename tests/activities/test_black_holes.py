"""AT-X8: who accepts and then says nothing, little, or without end holds no client of ours over its whole time."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import NamedTuple

import pytest

from adapters.clock import Clock
from adapters.gfs_archive import GfsArchive, archive_client
from adapters.log_client import TIMEOUT_SECONDS, commitments, exchange
from adapters.miner_client import MinerClient
from adapters.round_backend import Answer, RoundBackend
from adapters.sinks.http import HttpSink
from adapters.transfer import AccessTokens, Transfer, TransferBudget
from adapters.witness import PROBE_SECONDS, Witness
from adapters.zarr_source import fetch_climatology
from protocol.manifest import Entry
from protocol.registry import RosterEntry
from tests.hostile_miner import LAYOUT, MINER, REQUEST_KEY, RUN, T0, VALIDATOR, call_data, loopback
from tests.unit.protocol.test_weights import payload
from weather.faults import Fault, MinerUnreachable, SourceThrottled

SHORT = 0.5
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
HOLES = {
    "says nothing": (b"", b""),
    "drips a head": (HEAD, b"X-Wait: 1\r\n"),
    "drips a body": (HEAD + b"Content-Length: 9999\r\n\r\n", b" "),
    "never stops": (HEAD + b"\r\n", b" " * 65_536),
}


@asynccontextmanager
async def hole(first: bytes, more: bytes) -> AsyncGenerator[str]:
    """Accepts, and sends `more` until it is closed."""
    closed, swallowing = asyncio.Event(), set[asyncio.Task[None] | None]()

    async def swallow(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        swallowing.add(asyncio.current_task())
        writer.write(first)
        while not (closed.is_set() or writer.is_closing()):
            writer.write(more)
            try:
                await writer.drain()
                async with asyncio.timeout(0.02):
                    await closed.wait()
            except (TimeoutError, ConnectionError):
                continue
        writer.transport.abort()
        with suppress(ConnectionError):
            await writer.wait_closed()

    async with await asyncio.start_server(swallow, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        closed.set()
        await asyncio.gather(*filter(None, swallowing))


async def call(url: str) -> None:
    entry = RosterEntry(hotkey=MINER.hotkey, uid=None, name="m", base_url=url, tls_sha256=None)
    egress = loopback(call_seconds=SHORT)
    await MinerClient(REQUEST_KEY, VALIDATOR.hotkey, egress, egress.clock).request_forecast(entry, call_data())


async def download(url: str) -> None:
    async def token() -> str:
        return "token"

    budget = TransferBudget(first_byte_seconds=SHORT, base_seconds=SHORT)
    async with loopback().client(url) as client:
        transfer = Transfer(client, AccessTokens(token), asyncio.Semaphore(1), budget)
        await transfer.fetch_object(Entry("t/c/0", 9_999, "0" * 64))


async def read_log(url: str) -> None:
    await commitments(loopback(), url, RUN)


async def push(url: str) -> None:
    await exchange(loopback(), url, "weather-commitment", 16_384, content=b"{}")


async def probe(url: str) -> None:
    await Witness(Clock(), url).require("GET", MINER.hotkey, MinerUnreachable("refused"))


async def read_archive(url: str) -> None:
    async with archive_client() as client:
        archive = GfsArchive([url], "pgrb2.0p25", client, Clock())
        archive.call_seconds = SHORT
        await archive.plan(T0, 6, [])


async def tell_backend(url: str) -> None:
    assert await RoundBackend(url, seconds=SHORT).call("PUT", "/rounds/x", "{}", "k") == Answer(0)
    raise SourceThrottled("")


async def publish(url: str) -> None:
    await asyncio.to_thread(HttpSink(RoundBackend(url, seconds=SHORT)).submit, payload(), "k")


async def read_store(url: str) -> None:
    await asyncio.to_thread(fetch_climatology, url, T0, LAYOUT.grid_value, [("2t", 0)])


CLIENTS: dict[str, tuple[Callable[[str], Awaitable[None]], float]] = {
    "call": (call, SHORT),
    "download": (download, SHORT),
    "archive": (read_archive, 2 * SHORT),  # it asks a mirror twice
    "backend": (tell_backend, SHORT),
    "weights": (publish, SHORT),
    "log": (read_log, TIMEOUT_SECONDS),
    "push": (push, TIMEOUT_SECONDS),
    "probe": (probe, PROBE_SECONDS),
}


class Ended(NamedTuple):
    client: str
    hole: str
    failed: bool
    in_time: bool


async def ended(name: str, client: Callable[[str], Awaitable[None]], seconds: float, kind: str) -> Ended:
    async with hole(*HOLES[kind]) as url:
        began, failed = time.monotonic(), False
        try:
            await client(url)
        except Fault:
            failed = True
        return Ended(name, kind, failed, time.monotonic() - began < seconds + 1)


async def test_no_client_waits_longer_than_its_whole_time() -> None:
    all_of = []
    for seconds in {one[1] for one in CLIENTS.values()}:
        some = [(name, *one) for name, one in CLIENTS.items() if one[1] == seconds]
        all_of += await asyncio.gather(*(ended(*one, kind) for one in some for kind in HOLES))
    assert [one for one in all_of if not (one.in_time and one.failed)] == []


@pytest.mark.skipif("BAROGRAPH_LONG" not in os.environ, reason="waits for two minutes: `make chaos`")
@pytest.mark.timeout(200)
async def test_nor_does_the_client_of_gridded_stores() -> None:
    kinds = ("says nothing", "drips a head", "drips a body")
    all_of = await asyncio.gather(*(ended("store", read_store, 120.0, kind) for kind in kinds))
    assert [one for one in all_of if not (one.in_time and one.failed)] == []
