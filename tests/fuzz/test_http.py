"""The real client against a peer of raw bytes: one miner's fault, in time, whatever the length."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.miner_client import MinerClient
from adapters.transfer import AccessTokens, Transfer, TransferBudget
from protocol.manifest import size_cap
from protocol.registry import RosterEntry
from tests.fuzz.hostile_peer import BODIES, ENDLESS, HEADERS, STATUS_LINES, Script, peer, scripts
from tests.fuzz.profiles import bounded
from tests.hostile_miner import MINER, REQUEST_KEY, VALIDATOR, HostileMiner, loopback
from weather.faults import MinerFault

EGRESS = loopback(call_seconds=1.0)
BUDGET = TransferBudget(first_byte_seconds=0.5, base_seconds=1.0, bytes_per_second=10_000_000)
HONEST = HostileMiner()
HONEST.base_url = "http://miner.example"
MANIFEST = HONEST.manifest.canonical
CHUNK = "t/c/0/0/0/0"
JOB = HONEST.call.job_id
RECEIVED = {"job_id": JOB, "status": "received", "estimated_ready_at": None, "input_data_hash": None, "error": None}
ANSWERS = {  # of an honest miner, by the end of the path
    "weather-forecast-request": json.dumps(RECEIVED).encode(),
    "weather-kerchunk-request": b'{"status":"not_found","job_id":"%s"}' % JOB.encode(),
    "manifest.json": MANIFEST,
    CHUNK: HONEST.objects[CHUNK],
}


def honest(path: str) -> bytes:
    return next(body for end, body in ANSWERS.items() if path.endswith(end))


def entry(url: str) -> RosterEntry:
    return RosterEntry(hotkey=MINER.hotkey, uid=1, name="trade-wind", base_url=url, tls_sha256=None)


async def post_forecast(url: str) -> object:
    return await MinerClient(REQUEST_KEY, VALIDATOR.hotkey, EGRESS, EGRESS.clock).request_forecast(
        entry(url), HONEST.call
    )


async def post_kerchunk(url: str) -> object:
    return await MinerClient(REQUEST_KEY, VALIDATOR.hotkey, EGRESS, EGRESS.clock).poll_commitment(entry(url), JOB)


async def get_manifest(url: str) -> object:
    return await fetched(url, lambda one: one.fetch_manifest(size_cap(HONEST.manifest.object_count)))


async def get_chunk(url: str) -> object:
    return await fetched(url, lambda one: one.fetch_object(HONEST.manifest.entry(CHUNK)))


async def fetched(url: str, get: Callable[[Transfer], Awaitable[bytes]]) -> bytes:
    async def token() -> str:
        return "token"

    async with EGRESS.client(f"{url}/zarr/{JOB}/") as client:
        return await get(Transfer(client, AccessTokens(token), asyncio.Semaphore(4), BUDGET))


CALLS = [post_forecast, post_kerchunk, get_manifest, get_chunk]


def ask(call: Callable[[str], Awaitable[object]], script: Script) -> object:
    async def exchange() -> object:
        async with peer(script, honest) as url:
            return await call(url)

    try:
        return asyncio.run(exchange())
    except MinerFault as fault:
        assert "\0" not in str(fault) and len(str(fault)) < 4_000
        str(fault).encode()
        return None


def plain(**changes: Any) -> Script:
    parts: dict[str, Any] = {"status": STATUS_LINES[0], "headers": (), "body": None, "endless": None, "silent": False}
    return Script(**parts | changes)


@pytest.mark.parametrize("call", CALLS)
def test_an_honest_answer_in_raw_bytes_is_read(call: Callable[[str], Awaitable[object]]) -> None:
    assert ask(call, plain()) is not None


@bounded(80)
@given(call=st.sampled_from(CALLS), script=scripts())
def test_whatever_comes_is_an_answer_or_the_fault_of_the_miner(
    call: Callable[[str], Awaitable[object]], script: Script
) -> None:
    answer = ask(call, script)
    if call is get_chunk:
        assert answer in (None, HONEST.objects[CHUNK])


@pytest.mark.parametrize("call", [post_kerchunk, get_manifest])
@pytest.mark.parametrize("header", HEADERS)
def test_a_hostile_header_costs_little(call: Callable[[str], Awaitable[object]], header: bytes) -> None:
    ask(call, plain(headers=(header,)))


@pytest.mark.parametrize("call", [post_kerchunk, get_manifest])
@pytest.mark.parametrize("status", STATUS_LINES)
def test_a_hostile_status_costs_little(call: Callable[[str], Awaitable[object]], status: bytes) -> None:
    ask(call, plain(status=status))


@pytest.mark.parametrize("call", [post_kerchunk, get_manifest])
@pytest.mark.parametrize("body", BODIES)
def test_a_hostile_chunked_body_is_refused(call: Callable[[str], Awaitable[object]], body: bytes) -> None:
    assert ask(call, plain(headers=(b"Transfer-Encoding: chunked",), body=body)) is None


@pytest.mark.parametrize("call", [post_kerchunk, get_manifest])
@pytest.mark.parametrize("endless", ENDLESS)
@pytest.mark.parametrize("headers", [(b"Transfer-Encoding: chunked",), (b"Content-Length: 1073741824",)])
def test_what_never_ends_is_left(
    call: Callable[[str], Awaitable[object]], headers: tuple[bytes, ...], endless: bytes
) -> None:
    assert ask(call, plain(headers=headers, body=b"", endless=endless)) is None
