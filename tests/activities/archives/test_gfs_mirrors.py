from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path

import anyio
import httpx
import pytest
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse

from adapters.grib_decoder import GribDecoder
from adapters.inputs import fetch_fields, keep_bundle
from adapters.object_store import ObjectStore
from tests.activities.archives.real_files import (
    COARSE,
    CYCLE,
    LEAD,
    PATH,
    SMALL,
    WINDS,
    archive_of,
)
from tests.range_server import RangeServer, free_port
from weather.faults import SourceThrottled

Told = Callable[[], list[tuple[str, str]]]
SLOW_DOWN = b"<Error><Code>SlowDown</Code></Error>"


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> Told:
    """What is logged of mirrors so far: code and words."""

    def lines() -> list[tuple[str, str]]:
        return [record.args[1:] for record in caplog.records if record.name == "barograph.gfs"]  # ty: ignore

    return lines


async def test_a_cycle_is_gone_only_if_every_mirror_says_so(
    first: RangeServer, second: RangeServer, client: httpx.AsyncClient, told: Told
) -> None:
    other = CYCLE + timedelta(hours=6)
    second.overrides["gfs."] = lambda request: Response(status_code=429, headers={"Retry-After": "9"})
    archive = archive_of(client, first.url, second.url, at=other + timedelta(days=9))
    with pytest.raises(SourceThrottled) as throttled:
        await archive.plan(other, LEAD, SMALL)
    assert throttled.value.retry_after == timedelta(seconds=9)
    assert [code for code, _ in told()] == ["SourceGone", "SourceThrottled"]


async def _drip(body: bytes) -> AsyncIterator[bytes]:
    for position in range(len(body)):
        yield body[position : position + 1]
        await anyio.sleep(0.4)


TROUBLES: dict[str, tuple[Callable[[Request], Response | None], str]] = {
    "throttled": (lambda request: Response(SLOW_DOWN, 503), "SourceThrottled"),
    "redirected": (lambda request: RedirectResponse("/captcha"), "SourceThrottled"),
    "a page": (lambda request: Response("<html>", media_type="text/html"), "SourceThrottled"),
    "failing": (lambda request: Response(status_code=500), "SourceThrottled"),
    "wrong bytes": (lambda request: Response(bytes(100), media_type="text/plain"), "SourceCorrupt"),
    "slow": (lambda request: StreamingResponse(_drip(bytes(9999))), "SourceThrottled"),
}


@pytest.mark.parametrize("trouble", TROUBLES)
async def test_the_set_is_complete_from_the_second_mirror_if_the_first_is_in_trouble(
    first: RangeServer, second: RangeServer, client: httpx.AsyncClient, trouble: str, told: Told
) -> None:
    first.overrides["gfs."], code = TROUBLES[trouble]
    archive = archive_of(client, first.url, second.url)
    archive.call_seconds = 0.3
    plan = await archive.plan(CYCLE, LEAD, SMALL)
    messages = await archive.fetch(plan)
    assert {message.url for message in messages} == {f"{second.url}/{PATH}"}
    assert {code for code, _ in told()} == {code}
    tries = [path for _, path, _ in first.requests if path.endswith(".idx")]
    assert len(tries) == (2 if trouble in ("failing", "slow") else 1)


async def test_the_set_is_complete_from_the_second_mirror_if_nobody_listens_at_the_first(
    second: RangeServer, client: httpx.AsyncClient, told: Told
) -> None:
    with free_port() as port:
        archive = archive_of(client, f"http://127.0.0.1:{port}", second.url)
        messages = await archive.fetch(await archive.plan(CYCLE, LEAD, SMALL))
    assert len(messages) == len(SMALL) - 1
    assert "ConnectError" in str(told()[0])


def _fails_after(count: int, server: RangeServer) -> Callable[[Request], Response | None]:
    def override(request: Request) -> Response | None:
        served = sum(span is not None for _, _, span in server.requests)
        return Response(status_code=429) if request.headers.get("range") and served > count else None

    return override


async def test_a_set_goes_on_at_another_mirror_after_three_messages_were_compared(
    first: RangeServer, second: RangeServer, client: httpx.AsyncClient
) -> None:
    first.overrides["gfs."] = _fails_after(20, first)
    archive = archive_of(client, first.url, second.url)
    plan = await archive.plan(CYCLE, LEAD, WINDS)
    messages = await archive.fetch(plan)
    assert [message.planned for message in messages] == [message for part in plan.ranges for message in part]
    urls = {message.url for message in messages}
    assert urls == {f"{first.url}/{PATH}", f"{second.url}/{PATH}"}
    held = sum(message.url.startswith(first.url) for message in messages)
    again = sum(span is not None for _, _, span in second.requests) - (len(plan.ranges) - held)
    assert again == 3


async def test_mirrors_that_serve_other_bytes_are_not_mixed(
    first: RangeServer, second: RangeServer, client: httpx.AsyncClient, grib: bytes, told: Told
) -> None:
    first.overrides["gfs."] = _fails_after(20, first)
    archive = archive_of(client, first.url, second.url)
    plan = await archive.plan(CYCLE, LEAD, WINDS)
    other = bytearray(grib)
    for message in plan.messages:
        other[message.end - 10] ^= 1
    (second.root / PATH).write_bytes(other)
    with pytest.raises(SourceThrottled):
        await archive.fetch(plan)
    assert [code for code, _ in told()] == ["SourceThrottled", "SourceCorrupt"]
    assert "mirrors differ" in str(told()[1])


async def test_the_bundle_digest_is_equal_from_two_mirrors_and_after_the_store_is_wiped(
    first: RangeServer, second: RangeServer, client: httpx.AsyncClient, decoder: GribDecoder, tmp_path: Path
) -> None:
    digests = set()
    for number, server in enumerate((first, second)):
        store = ObjectStore(tmp_path / str(number))
        fetched = await fetch_fields(archive_of(client, server.url), decoder, store, COARSE, CYCLE, LEAD, SMALL)
        digests.add(keep_bundle(store, COARSE.name, fetched.fields))
    assert len(digests) == 1
