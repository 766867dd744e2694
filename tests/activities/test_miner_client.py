"""Calls 2, 4 and 5 over real HTTP, against a miner that misbehaves."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from adapters.clock import Clock
from adapters.egress import Egress
from adapters.miner_client import MinerClient
from protocol.messages import KerchunkCompleted
from protocol.names import job_id
from protocol.problems import Refusal
from protocol.receipt import CommitmentAnswer, CommitmentEntry, Receipt, TreeHead
from tests.hostile_miner import (
    MINER,
    REQUEST_KEY,
    RUN,
    STRANGER,
    T0,
    VALIDATOR,
    HostileMiner,
    Override,
    Server,
    loopback,
    running,
    signed,
    streamed,
)
from tests.range_server import Recorded, free_port, replay
from weather import faults

FORECAST, KERCHUNK, RECEIPT = "weather-forecast-request", "weather-kerchunk-request", "weather-receipt"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running() as served:
        yield served


@pytest.fixture
def miner(server: Server) -> HostileMiner:
    server.app = hostile = HostileMiner()
    return hostile


@pytest.fixture
def client() -> MinerClient:
    return client_of(loopback())


def client_of(egress: Egress) -> MinerClient:
    return MinerClient(REQUEST_KEY, VALIDATOR.hotkey, egress, egress.clock)


def a_receipt(miner: HostileMiner) -> CommitmentAnswer:
    entry = CommitmentEntry(
        network="test",
        run_id=RUN,
        hotkey=MINER.hotkey,
        commitment_digest=miner.commitment.digest,
        received_at=T0,
        channel="pull",
    )
    receipt = Receipt(validator=VALIDATOR.hotkey, leaf_index=0, entry=entry)
    head = TreeHead(network="test", validator=VALIDATOR.hotkey, tree_size=1, root_hash="0" * 64, recorded_at=T0)
    return CommitmentAnswer(
        receipt=receipt,
        receipt_signature=receipt.sign(VALIDATOR),
        tree_head=head,
        tree_head_signature=head.sign(VALIDATOR),
        inclusion_proof=(),
        in_time=True,
    )


async def test_calls_are_signed_by_the_request_key_for_the_validator_and_answers_are_read(
    server: Server, miner: HostileMiner, client: MinerClient
) -> None:
    entry = server.entry()
    forecast = await client.request_forecast(entry, miner.call)
    before = Clock().now()
    answer, received_at = await client.poll_commitment(entry, miner.call.job_id)
    stored = await client.deliver_receipt(entry, a_receipt(miner))
    assert (forecast.status, stored.status) == ("received", "stored")
    assert isinstance(answer, KerchunkCompleted) and answer.verification_hash == miner.commitment.root
    assert before <= received_at <= Clock().now()
    assert miner.posts == [FORECAST, KERCHUNK, RECEIPT]
    assert {headers["accept-encoding"] for headers in miner.headers} == {"identity"}


async def test_the_base_path_of_the_registry_is_part_of_what_is_signed(
    server: Server, miner: HostileMiner, client: MinerClient
) -> None:
    miner.base_path = "/a/b"
    await client.request_forecast(server.entry(base_url=f"{server.url}/a/b"), miner.call)
    assert miner.posts == [FORECAST]


async def test_the_trace_context_travels_in_the_headers(
    server: Server, miner: HostileMiner, client: MinerClient
) -> None:
    with TracerProvider().get_tracer("test").start_as_current_span("ask") as span:
        await client.request_forecast(server.entry(), miner.call)
    assert f"{span.get_span_context().trace_id:032x}" in miner.headers[-1]["traceparent"]


def unsigned(status: int = 200, **headers: str) -> Override:
    def answer(request: Request, honest: Response) -> Response:
        return Response(honest.body, status, headers)

    return answer


def saying(content: object, status: int = 200, **how: Any) -> Override:
    return lambda request, honest: signed(request, content, status, **how)


def changed(**members: Any) -> Override:
    return lambda request, honest: signed(request, json.loads(bytes(honest.body)) | members)


def tampered(request: Request, honest: Response) -> Response:
    body = bytes(honest.body).replace(b"received", b"completed")
    return Response(body, 200, {"Barograph-Answer": honest.headers["barograph-answer"]})


def coded(request: Request, honest: Response) -> Response:
    honest.headers["content-encoding"] = "gzip"
    return honest


def endless(request: Request, honest: Response) -> Response:
    async def parts() -> AsyncGenerator[bytes]:
        while True:
            yield bytes(65_536)
            await asyncio.sleep(0)  # the server notices that nobody listens any more

    return streamed(parts())


def broken_off(request: Request, honest: Response) -> Response:
    async def parts() -> AsyncGenerator[bytes]:
        yield b"{"

    return streamed(parts(), **{"Content-Length": "10"})


def wide(request: Request, honest: Response) -> Response:
    honest.headers.update({f"x-{number}": "1" for number in range(100)})
    return honest


def deep(depth: int) -> bytes:
    return b"[" * depth + b"]" * depth


A_PROBLEM = Refusal("JobConflict", "another job").problem("/").body
ANSWER_FAULTS: dict[str, tuple[Override, type[faults.Fault]]] = {
    "an unsigned 200": (unsigned(), faults.BadAnswer),
    "signed by another key": (saying({}, key=STRANGER), faults.BadAnswer),
    "signed for another request": (saying({}, nonce="7f1f9e5e-9d3b-4c06-8e7e-3b8d3f6d3a11"), faults.BadAnswer),
    "signed for other bytes": (tampered, faults.BadAnswer),
    "signed ten minutes ago": (saying({}, at=datetime.now(UTC) - timedelta(minutes=10)), faults.BadAnswer),
    "garbage": (saying(b"\x00\xff garbage"), faults.BadAnswer),
    "duplicate members": (saying(b'{"status": "received", "status": "error"}'), faults.BadAnswer),
    "nesting of 10,000": (saying(deep(8_000)), faults.BadAnswer),
    "an unknown status": (changed(status="maybe"), faults.BadAnswer),
    "a further member": (changed(hash="xxh64"), faults.BadAnswer),
    "another job": (changed(job_id=job_id("test", RUN, STRANGER.hotkey)), faults.BadAnswer),
    "over the limit": (saying(b" " * 16_385), faults.BadAnswer),
    "without an end": (endless, faults.BadAnswer),
    "a content coding": (coded, faults.BadAnswer),
    "101 header fields": (wide, faults.BadAnswer),
    "a redirect": (lambda request, honest: RedirectResponse("http://127.0.0.1:1/"), faults.Redirected),
    "broken off": (broken_off, faults.MinerTimeout),
    "500 and unsigned": (unsigned(500), faults.MinerUnreachable),
    "404 and unsigned": (unsigned(404), faults.MinerUnreachable),
    "503 and signed": (saying({}, 503), faults.MinerUnreachable),
    "409 and signed": (saying(A_PROBLEM, 409), faults.MinerReportedError),
    "409 and signed by another key": (saying(A_PROBLEM, 409, key=STRANGER), faults.BadAnswer),
}


@pytest.mark.parametrize("act", ANSWER_FAULTS)
async def test_an_answer_is_refused_with_the_code_of_what_is_wrong(
    act: str, server: Server, miner: HostileMiner, client: MinerClient
) -> None:
    override, expected = ANSWER_FAULTS[act]
    miner.overrides[FORECAST] = override
    with pytest.raises(faults.Fault) as raised:
        await client.request_forecast(server.entry(), miner.call)
    assert type(raised.value) is expected


async def test_retry_after_is_handed_on(server: Server, miner: HostileMiner, client: MinerClient) -> None:
    miner.overrides[FORECAST] = unsigned(429, **{"Retry-After": "45"})
    with pytest.raises(faults.MinerUnreachable) as raised:
        await client.request_forecast(server.entry(), miner.call)
    assert raised.value.retry_after == timedelta(seconds=45)


async def test_a_redirect_is_not_followed(server: Server, miner: HostileMiner, client: MinerClient) -> None:
    with running() as other:
        other.app = target = HostileMiner()
        miner.overrides[FORECAST] = lambda request, honest: RedirectResponse(f"{other.url}/{FORECAST}", 307)
        with pytest.raises(faults.Redirected):
            await client.request_forecast(server.entry(), miner.call)
    assert target.headers == []


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b"HTTP/9.9 what", faults.BadAnswer),
        (b"HTTP/1.1 200 OK\n" + b"\n".join(b"x-%d: 1" % number for number in range(10_000)), faults.BadAnswer),
        (b"HTTP/1.1 200 OK\ncontent-length: 5\ncontent-length: 6", faults.BadAnswer),
    ],
    ids=["no HTTP", "10,000 header fields", "two lengths"],
)
async def test_what_is_not_http_is_a_bad_answer(
    head: bytes, expected: type[faults.Fault], server: Server, miner: HostileMiner, client: MinerClient
) -> None:
    async with replay(Recorded(head)) as url:
        with pytest.raises(expected):
            await client.request_forecast(server.entry(base_url=url), miner.call)


async def test_a_port_on_which_nobody_listens_is_unreachable(
    server: Server, miner: HostileMiner, client: MinerClient
) -> None:
    with free_port() as port, pytest.raises(faults.MinerUnreachable):
        await client.request_forecast(server.entry(base_url=f"http://127.0.0.1:{port}"), miner.call)


async def test_who_listens_and_never_answers_is_timed_out(server: Server, miner: HostileMiner) -> None:
    async with replay(Recorded(b"HTTP/1.1 200 OK\ncontent-length: 5", then="silence")) as url:
        with pytest.raises(faults.MinerTimeout):
            await client_of(loopback(call_seconds=0.1)).request_forecast(server.entry(base_url=url), miner.call)


async def test_who_hangs_up_without_a_word_gave_no_complete_answer(
    server: Server, miner: HostileMiner, client: MinerClient
) -> None:
    async with replay(Recorded(b"", then="reset")) as url:
        with pytest.raises(faults.MinerTimeout):
            await client.request_forecast(server.entry(base_url=url), miner.call)


@pytest.mark.parametrize("status", ["error", "not_found"])
async def test_every_status_of_a_poll_is_an_answer(
    status: str, server: Server, miner: HostileMiner, client: MinerClient
) -> None:
    error = {"error": {"code": "busy", "detail": "later"}} if status == "error" else {}
    miner.overrides[KERCHUNK] = saying({"status": status, "job_id": miner.call.job_id} | error)
    answer, _ = await client.poll_commitment(server.entry(), miner.call.job_id)
    assert answer.status == status


async def test_one_slow_miner_delays_no_other(server: Server, miner: HostileMiner) -> None:
    slow = client_of(loopback(call_seconds=0.3))
    async with replay(Recorded(b"HTTP/1.1 200 OK\ncontent-length: 5", then="silence")) as url:
        waiting = asyncio.create_task(slow.request_forecast(server.entry(base_url=url), miner.call))
        await slow.request_forecast(server.entry(), miner.call)
        assert not waiting.done()
        with pytest.raises(faults.MinerTimeout):
            await waiting
