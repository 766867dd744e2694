"""GETs of a store: each object once, in full, in time, and nothing but the committed bytes."""

from __future__ import annotations

import asyncio
import gzip
import socket
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager
from itertools import count

import pytest
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from adapters.egress import Egress
from adapters.transfer import AccessTokens, Transfer, TransferBudget
from protocol.manifest import size_cap
from tests.hostile_miner import HostileMiner, Override, Server, loopback, running, streamed
from tests.range_server import Recorded, free_port, replay
from weather import faults

CHUNK = "t/c/0/0/0/0"
MANIFEST = "manifest.json"
QUICK = TransferBudget(first_byte_seconds=1.5, base_seconds=2.0, bytes_per_second=1_000_000)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running() as served:
        yield served


@pytest.fixture
def miner(server: Server) -> HostileMiner:
    server.app = hostile = HostileMiner()
    return hostile


def fresh_tokens() -> AccessTokens:
    """Tokens that count up."""
    numbers = count(1)

    async def ask() -> str:
        return f"token-{next(numbers)}"

    return AccessTokens(ask)


@asynccontextmanager
async def transfer(
    miner: HostileMiner, url: str, budget: TransferBudget = QUICK, egress: Egress | None = None
) -> AsyncGenerator[Transfer]:
    async with (egress or loopback()).client(f"{url}/zarr/{miner.call.job_id}/") as client:
        yield Transfer(client, fresh_tokens(), asyncio.Semaphore(4), budget)


async def fetch(miner: HostileMiner, url: str, path: str = CHUNK) -> bytes:
    async with transfer(miner, url) as one:
        if path == MANIFEST:
            return await one.fetch_manifest(size_cap(miner.commitment.object_count))
        return await one.fetch_object(miner.manifest.entry(path))


@pytest.mark.parametrize("path", [CHUNK, "zarr.json", MANIFEST])
async def test_the_committed_bytes_come_by_one_get(path: str, server: Server, miner: HostileMiner) -> None:
    assert await fetch(miner, server.url, path) == miner.served[path]
    assert miner.gets == {path: 1}
    assert miner.headers[-1]["authorization"] == "Bearer token-1"
    assert miner.headers[-1]["accept-encoding"] == "identity"
    assert "cookie" not in miner.headers[-1] and "range" not in miner.headers[-1]


def with_status(status: int) -> Override:
    return lambda request, honest: Response(honest.body, status)


def with_body(change: Callable[[bytes], bytes]) -> Override:
    return lambda request, honest: Response(change(bytes(honest.body)))


def in_parts(parts: list[bytes], pause_seconds: float = 0.0, size: int | None = None) -> Override:
    async def body() -> AsyncGenerator[bytes]:
        for part in parts:
            yield part
            await asyncio.sleep(pause_seconds)  # a pace, not a wait for something

    declared = {} if size is None else {"Content-Length": str(size)}
    return lambda request, honest: streamed(body(), **declared)


def bombed(request: Request, honest: Response) -> Response:
    bomb = gzip.compress(bytes(10_000_000))
    return Response(bomb, headers={"Content-Encoding": "gzip"})


def flipped(body: bytes) -> bytes:
    return body[:-1] + bytes([body[-1] ^ 1])


def elsewhere(request: Request, honest: Response) -> Response:
    return RedirectResponse("http://127.0.0.1:1/")


def endless(request: Request, honest: Response) -> Response:
    async def parts() -> AsyncGenerator[bytes]:
        while True:
            yield bytes(65_536)
            await asyncio.sleep(0)  # the server notices that nobody listens any more

    return streamed(parts())


OBJECT_FAULTS: dict[str, tuple[Override, type[faults.Fault]]] = {
    "404": (with_status(404), faults.ObjectAbsent),
    "410": (with_status(410), faults.ObjectAbsent),
    "500": (with_status(500), faults.TransferFailed),
    "429": (with_status(429), faults.TransferFailed),
    "206": (with_status(206), faults.BadAnswer),
    "418": (with_status(418), faults.BadAnswer),
    "a redirect": (elsewhere, faults.Redirected),
    "gzip around a bomb": (bombed, faults.ContentCodingRefused),
    "one byte less": (with_body(lambda body: body[:-1]), faults.ObjectLengthMismatch),
    "one byte more": (with_body(lambda body: body + b"\0"), faults.ObjectLengthMismatch),
    "no length": (in_parts([b"abc"]), faults.ObjectLengthMismatch),
    "no length and no end": (endless, faults.ObjectLengthMismatch),
    "a flipped bit": (with_body(flipped), faults.ObjectDigestMismatch),
}


@pytest.mark.parametrize("act", OBJECT_FAULTS)
async def test_an_object_is_refused_with_the_code_of_what_is_wrong(
    act: str, server: Server, miner: HostileMiner
) -> None:
    override, expected = OBJECT_FAULTS[act]
    miner.overrides[CHUNK] = override
    with pytest.raises(faults.Fault) as raised:
        await fetch(miner, server.url)
    assert type(raised.value) is expected
    assert miner.gets == {CHUNK: 1}


async def test_swapped_objects_are_not_the_committed_ones(server: Server, miner: HostileMiner) -> None:
    miner.served[CHUNK], miner.served["t/c/0/1/0/0"] = miner.served["t/c/0/1/0/0"], miner.served[CHUNK]
    with pytest.raises((faults.ObjectDigestMismatch, faults.ObjectLengthMismatch)):
        await fetch(miner, server.url)


async def test_a_body_that_breaks_off_is_a_failed_transfer(server: Server, miner: HostileMiner) -> None:
    size = miner.manifest.entry(CHUNK).size
    miner.overrides[CHUNK] = in_parts([b"abc"], size=size)
    with pytest.raises(faults.TransferFailed):
        await fetch(miner, server.url)


async def test_a_byte_now_and_then_is_too_slow(server: Server, miner: HostileMiner) -> None:
    body = miner.served[CHUNK]
    parts = [body[at : at + 1] for at in range(len(body))]
    miner.overrides[CHUNK] = in_parts(parts, 0.05, size=len(body))
    with pytest.raises(faults.TransferSlow):
        await fetch(miner, server.url)


async def test_a_slow_object_at_the_rate_is_taken(server: Server, miner: HostileMiner) -> None:
    body = miner.served[CHUNK]
    miner.overrides[CHUNK] = in_parts([body[:9], body[9:]], 0.1, size=len(body))
    assert await fetch(miner, server.url) == body


async def test_no_first_byte_is_too_slow(server: Server, miner: HostileMiner) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(faults.TransferSlow):
        await fetch(miner, f"http://127.0.0.1:{silent.getsockname()[1]}")


async def test_a_port_on_which_nobody_listens_is_a_failed_transfer(server: Server, miner: HostileMiner) -> None:
    with free_port() as port, pytest.raises(faults.TransferFailed):
        await fetch(miner, f"http://127.0.0.1:{port}")


async def test_what_is_not_http_is_a_bad_answer(server: Server, miner: HostileMiner) -> None:
    async with replay(Recorded(b"HTTP/9.9 what")) as url:
        with pytest.raises(faults.BadAnswer):
            await fetch(miner, url)


async def test_an_address_that_is_not_allowed_sees_no_token(server: Server, miner: HostileMiner) -> None:
    closed = Egress(loopback().clock)
    async with transfer(miner, server.url, egress=closed) as one:
        with pytest.raises(faults.AddressRefused):
            await one.fetch_object(miner.manifest.entry(CHUNK))
    assert miner.headers == []


MANIFEST_FAULTS: dict[str, tuple[Override, type[faults.Fault]]] = {
    "404": (with_status(404), faults.ManifestAbsent),
    "no length and no end": (endless, faults.ManifestMalformed),
    "no length": (in_parts([b"{}"]), faults.ManifestMalformed),
    "over the cap": (with_body(lambda body: body + bytes(10_000)), faults.ManifestMalformed),
    "a content coding": (bombed, faults.ContentCodingRefused),
    "502": (with_status(502), faults.TransferFailed),
}


@pytest.mark.parametrize("act", MANIFEST_FAULTS)
async def test_a_manifest_is_refused_with_the_code_of_what_is_wrong(
    act: str, server: Server, miner: HostileMiner
) -> None:
    override, expected = MANIFEST_FAULTS[act]
    miner.overrides[MANIFEST] = override
    with pytest.raises(faults.Fault) as raised:
        await fetch(miner, server.url, MANIFEST)
    assert type(raised.value) is expected


@pytest.mark.parametrize("status", [401, 403])
async def test_a_refused_token_is_replaced_once(status: int, server: Server, miner: HostileMiner) -> None:
    def first_refused(request: Request, honest: Response) -> Response:
        return honest if request.headers["authorization"] == "Bearer token-2" else Response(status_code=status)

    miner.overrides["/"] = first_refused
    miner.overrides[CHUNK] = first_refused
    assert await fetch(miner, server.url) == miner.served[CHUNK]
    assert miner.gets == {CHUNK: 2}


async def test_a_miner_that_refuses_its_own_tokens_twice_is_named(server: Server, miner: HostileMiner) -> None:
    miner.overrides[CHUNK] = with_status(401)
    async with transfer(miner, server.url) as one:
        with pytest.raises(faults.TokenRefused):
            await one.fetch_object(miner.manifest.entry(CHUNK))
        with pytest.raises(faults.TokenRefused):
            await one.fetch_object(miner.manifest.entry(CHUNK))
    assert {headers["authorization"] for headers in miner.headers} == {"Bearer token-1", "Bearer token-2"}
    assert miner.gets[CHUNK] == 3


async def test_objects_refused_at_once_share_one_new_token(server: Server, miner: HostileMiner) -> None:
    """Four GETs in flight are refused; the token is asked for once more, not four times."""
    paths = ["t/c/0/0/0/0", "t/c/0/1/0/0", "t/c/1/0/0/0", "t/c/1/1/0/0"]

    def first_refused(request: Request, honest: Response) -> Response:
        return honest if request.headers["authorization"] == "Bearer token-2" else Response(status_code=401)

    miner.overrides = dict.fromkeys(paths, first_refused)
    async with transfer(miner, server.url) as one:
        bodies = await asyncio.gather(*(one.fetch_object(miner.manifest.entry(path)) for path in paths))
    assert bodies == [miner.served[path] for path in paths]


async def test_no_more_than_four_gets_are_under_way(server: Server, miner: HostileMiner) -> None:
    running_now, most = 0, 0

    async def counted(request: Request, honest: Response) -> Response:
        nonlocal running_now, most
        running_now += 1
        most = max(most, running_now)
        await asyncio.sleep(0.02)  # the work of a server
        running_now -= 1
        return honest

    miner.overrides["0"] = counted
    paths = [path for path in miner.objects if path.startswith(("t/c", "2t/c"))] * 2
    async with transfer(miner, server.url) as one:
        await asyncio.gather(*(one.fetch_object(miner.manifest.entry(path)) for path in paths))
    assert most == 4
