from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import anyio
import httpx
import numpy as np
import pytest
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse

from adapters.clock import FixedClock
from adapters.gfs_archive import GfsArchive
from adapters.gfs_index import Channel, gfs_path
from adapters.grib_decoder import GribDecoder, values_on
from adapters.grib_messages import cut_messages
from adapters.http_answers import Patience
from adapters.inputs import fetch_fields, keep_bundle
from adapters.object_store import LocalObjects
from protocol.messages import input_data_hash
from tests.grib_index import build_idx
from tests.range_server import RangeServer, free_port, range_server
from tests.samples import sample_path
from weather.faults import CycleNotYetAvailable, SourceCorrupt, SourceFault, SourceGone, SourceThrottled
from weather.fields import short_name
from weather.grids import Grid
from weather.variables import LEVELS

CYCLE, LEAD = datetime(2011, 1, 10, 12, tzinfo=UTC), 120
SOON_AFTER = CYCLE + timedelta(hours=5)
GRID = Grid("2p5", 90_000_000, -2_500_000, 73, 0, 2_500_000, 144)
PRODUCT = "pgrb2.2p50"
PATH = gfs_path(PRODUCT, CYCLE, LEAD)
ALL_LEVELS = [10, 20, 30, 50, 70, *range(100, 950, 50), 925, 950, 975, 1000]
WINDS: list[Channel] = [(name, level) for level in ALL_LEVELS for name in ("u", "v")] + [("10u", 0), ("10v", 0)]
SMALL: list[Channel] = [("msl", 0), ("t", 500), ("u", 500), ("v", 500), ("z", 850), ("2t", 0)]
SLOW_DOWN = b"<Error><Code>SlowDown</Code></Error>"


@pytest.fixture(scope="module")
def grib() -> bytes:
    return sample_path("gfs/gfs_20110110T12_f120_2p5.grib2").read_bytes()


@pytest.fixture(scope="module")
def decoder() -> Iterator[GribDecoder]:
    decoder = GribDecoder.start()
    yield decoder
    decoder.close()


@pytest.fixture(scope="module")
def idx(grib: bytes) -> str:
    return build_idx(grib)


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[RangeServer]]:
    roots = [tmp_path_factory.mktemp(name) for name in ("first", "second")]
    with range_server(roots[0]) as first, range_server(roots[1]) as second:
        yield [first, second]


def _fresh(server: RangeServer, grib: bytes, idx: str) -> RangeServer:
    (server.root / PATH).parent.mkdir(parents=True, exist_ok=True)
    (server.root / PATH).write_bytes(grib)
    (server.root / f"{PATH}.idx").write_text(idx)
    server.overrides.clear()
    server.requests.clear()
    return server


@pytest.fixture
def first(servers: list[RangeServer], grib: bytes, idx: str) -> RangeServer:
    return _fresh(servers[0], grib, idx)


@pytest.fixture
def second(servers: list[RangeServer], grib: bytes, idx: str) -> RangeServer:
    return _fresh(servers[1], grib, idx)


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(trust_env=False) as client:
        yield client


def _archive(client: httpx.AsyncClient, *urls: str, at: datetime = SOON_AFTER) -> GfsArchive:
    archive = GfsArchive(urls, PRODUCT, client, FixedClock(at))
    archive.patience = Patience(connect_seconds=1, read_seconds=0.5, whole_seconds=2)
    return archive


async def test_all_winds_of_all_levels_arrive(
    first: RangeServer, client: httpx.AsyncClient, decoder: GribDecoder
) -> None:
    archive, beats = _archive(client, first.url), []
    plan = await archive.plan(CYCLE, LEAD, WINDS)
    messages = await archive.fetch(plan, lambda *done: beats.append(done))
    decoded = [field for message in messages for field in decoder.decode_any(message.data)]
    assert sorted(field.short_name for field in decoded) == sorted(["u", "v"] * 26 + ["10u", "10v"])
    assert {field.level for field in decoded if field.short_name == "v"} == set(ALL_LEVELS)
    assert {field.validity for field in decoded} == {datetime(2011, 1, 15, 12, tzinfo=UTC)}
    assert all(30 < np.ptp(values_on(field, GRID)) < 200 for field in decoded)
    assert all(message.planned.fields == 2 for message in messages if len(message.planned.channels) == 2)
    assert len(beats) == len(plan.ranges) == 27
    asked = [str(span) for method, path, span in first.requests if path == PATH and method == "GET"]
    assert sorted(asked) == sorted(f"bytes={part[0].offset}-{part[-1].end - 1}" for part in plan.ranges)


async def test_known_channels_become_fields_and_objects(
    first: RangeServer, client: httpx.AsyncClient, decoder: GribDecoder, tmp_path: Path
) -> None:
    channels = [(name, level) for name in ("z", "t", "u", "v") for level in LEVELS] + [("msl", 0), ("2t", 0)]
    store = LocalObjects(tmp_path / "objects")
    fetched = await fetch_fields(_archive(client, first.url), decoder, store, GRID, CYCLE, LEAD, channels)
    assert [(field.variable, field.level) for field in fetched.fields] == channels
    assert {field.valid_time for field in fetched.fields} == {CYCLE + timedelta(hours=LEAD)}
    assert len({field.digest for field in fetched.fields}) == len(channels)
    for field, described in zip(fetched.fields, fetched.objects, strict=True):
        assert (described.variable, described.level) == (field.variable, field.level or None)
        assert len(store.get(described.sha256)) == described.length
        assert store.get_field(GRID, field.variable, field.level, field.valid_time, field.digest).digest == field.digest
    u, v = (fetched.objects[channels.index((name, 500))] for name in ("u", "v"))
    assert (u.offset, u.length, u.sha256) == (v.offset, v.length, v.sha256)
    assert u.name == "gfs.t12z.pgrb2.2p50.f120"
    assert len(input_data_hash(fetched.objects)) == 64
    assert store.get(keep_bundle(store, GRID.name, fetched.fields)).startswith(b'{"document":"barograph/field-set/1"')


async def test_a_file_without_specific_humidity_fails_closed(first: RangeServer, client: httpx.AsyncClient) -> None:
    wanted = [*SMALL, ("q", 500)]
    with pytest.raises(CycleNotYetAvailable, match="SPFH") as young:
        await _archive(client, first.url).plan(CYCLE, LEAD, wanted)
    assert young.value.retry_after == timedelta(seconds=60)
    with pytest.raises(SourceCorrupt, match="SPFH"):
        await _archive(client, first.url, at=CYCLE + timedelta(hours=13)).plan(CYCLE, LEAD, wanted)


HARM: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "magic": (lambda message: b"GRUB" + message[4:], "not a GRIB message"),
    "edition": (lambda message: message[:7] + b"\3" + message[8:], "not a GRIB message"),
    "trailer": (lambda message: message[:-4] + b"7778", "does not end as it must"),
    "longer than sent": (lambda message: message[:8] + (1 << 40).to_bytes(8, "big") + message[16:], "wrong length"),
    "off by one": (
        lambda message: message[:15] + bytes([message[15] ^ 1]) + message[16:],
        "wrong length|end as",
    ),
    "length nought": (lambda message: message[:8] + bytes(8) + message[16:], "wrong length"),
    "zeros": (lambda message: bytes(len(message)), "not a GRIB message"),
}


@pytest.mark.parametrize("harm", HARM)
async def test_a_message_with_a_broken_frame_is_refused(
    first: RangeServer, client: httpx.AsyncClient, grib: bytes, harm: str
) -> None:
    archive, (change, says) = _archive(client, first.url), HARM[harm]
    plan = await archive.plan(CYCLE, LEAD, SMALL)
    message = plan.messages[2]
    broken = grib[: message.offset] + change(grib[message.offset : message.end]) + grib[message.end :]
    (first.root / PATH).write_bytes(broken)
    with pytest.raises(SourceCorrupt, match=says):
        await archive.fetch(plan)


async def test_a_message_of_another_field_is_refused_by_its_keys(
    first: RangeServer, client: httpx.AsyncClient, idx: str, decoder: GribDecoder, tmp_path: Path
) -> None:
    renamed = idx.replace(":TMP:500 mb:", ":TMP:x:").replace(":TMP:550 mb:", ":TMP:500 mb:")
    (first.root / f"{PATH}.idx").write_text(renamed)
    store = LocalObjects(tmp_path / "objects")
    with pytest.raises(SourceCorrupt, match=r"not hold the channel once.*isobaricInhPa', 550.*expected.*, 500"):
        await fetch_fields(_archive(client, first.url), decoder, store, GRID, CYCLE, LEAD, SMALL)


async def test_a_range_with_another_count_of_messages_than_planned_is_refused(
    first: RangeServer, client: httpx.AsyncClient, idx: str
) -> None:
    lines = idx.splitlines(keepends=True)
    (first.root / f"{PATH}.idx").write_text("".join(lines[: next(n for n, x in enumerate(lines) if ":2 m " in x) + 1]))
    archive = _archive(client, first.url)
    plan = await archive.plan(CYCLE, LEAD, [("2t", 0)])
    assert plan.messages[-1].end == plan.file_bytes
    with pytest.raises(SourceCorrupt, match="not those of the index"):
        await archive.fetch(plan)


async def test_a_truncated_file_is_still_being_written_while_it_is_young(
    first: RangeServer, client: httpx.AsyncClient, grib: bytes
) -> None:
    (first.root / PATH).write_bytes(grib[: len(grib) // 2])
    with pytest.raises(CycleNotYetAvailable, match="shorter than its index"):
        await _archive(client, first.url).plan(CYCLE, LEAD, SMALL)
    with pytest.raises(SourceCorrupt, match="shorter than its index"):
        await _archive(client, first.url, at=CYCLE + timedelta(days=1)).plan(CYCLE, LEAD, SMALL)


async def test_a_file_that_shrinks_after_planning_is_refused(
    first: RangeServer, client: httpx.AsyncClient, grib: bytes
) -> None:
    archive = _archive(client, first.url)
    plan = await archive.plan(CYCLE, LEAD, SMALL)
    (first.root / PATH).write_bytes(grib[:-1])
    with pytest.raises(SourceCorrupt, match="206"):
        await archive.fetch(plan)


@pytest.mark.parametrize(
    ("age", "fault", "wait"),
    [
        (timedelta(hours=1), CycleNotYetAvailable, timedelta(minutes=10)),
        (timedelta(hours=4), CycleNotYetAvailable, timedelta(minutes=1)),
        (timedelta(hours=47), CycleNotYetAvailable, timedelta(minutes=10)),
        (timedelta(hours=49), SourceGone, None),
    ],
)
async def test_an_absent_cycle_is_not_yet_there_for_two_days_and_then_gone(
    first: RangeServer,
    client: httpx.AsyncClient,
    age: timedelta,
    fault: type[SourceFault],
    wait: timedelta | None,
) -> None:
    other = CYCLE + timedelta(hours=6)
    with pytest.raises(SourceFault) as raised:
        await _archive(client, first.url, at=other + age).plan(other, LEAD, SMALL)
    assert (type(raised.value), raised.value.retry_after) == (fault, wait)


async def test_a_cycle_is_gone_only_if_every_mirror_says_so(
    first: RangeServer, second: RangeServer, client: httpx.AsyncClient
) -> None:
    other = CYCLE + timedelta(hours=6)
    second.overrides["gfs."] = lambda request: Response(status_code=429, headers={"Retry-After": "9"})
    archive = _archive(client, first.url, second.url, at=other + timedelta(days=9))
    with pytest.raises(SourceThrottled) as throttled:
        await archive.plan(other, LEAD, SMALL)
    assert throttled.value.retry_after == timedelta(seconds=9)
    assert [trouble.code for trouble in archive.troubles] == ["SourceGone", "SourceThrottled"]


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
    first: RangeServer, second: RangeServer, client: httpx.AsyncClient, trouble: str
) -> None:
    first.overrides["gfs."], code = TROUBLES[trouble]
    archive = _archive(client, first.url, second.url)
    archive.patience = Patience(connect_seconds=1, read_seconds=0.5, whole_seconds=0.3)
    plan = await archive.plan(CYCLE, LEAD, SMALL)
    messages = await archive.fetch(plan)
    assert {message.url for message in messages} == {f"{second.url}/{PATH}"}
    assert {trouble.code for trouble in archive.troubles} == {code}
    tries = [path for _, path, _ in first.requests if path.endswith(".idx")]
    assert len(tries) == (2 if trouble in ("failing", "slow") else 1)


async def test_the_set_is_complete_from_the_second_mirror_if_nobody_listens_at_the_first(
    second: RangeServer, client: httpx.AsyncClient
) -> None:
    with free_port() as port:
        archive = _archive(client, f"http://127.0.0.1:{port}", second.url)
        messages = await archive.fetch(await archive.plan(CYCLE, LEAD, SMALL))
    assert len(messages) == len(SMALL) - 1
    assert "ConnectError" in archive.troubles[0].detail


def _fails_after(count: int, server: RangeServer) -> Callable[[Request], Response | None]:
    def override(request: Request) -> Response | None:
        served = sum(span is not None for _, _, span in server.requests)
        return Response(status_code=429) if request.headers.get("range") and served > count else None

    return override


async def test_a_set_goes_on_at_another_mirror_after_three_messages_were_compared(
    first: RangeServer, second: RangeServer, client: httpx.AsyncClient
) -> None:
    first.overrides["gfs."] = _fails_after(20, first)
    archive = _archive(client, first.url, second.url)
    plan = await archive.plan(CYCLE, LEAD, WINDS)
    messages = await archive.fetch(plan)
    assert [message.planned for message in messages] == [message for part in plan.ranges for message in part]
    urls = {message.url for message in messages}
    assert urls == {f"{first.url}/{PATH}", f"{second.url}/{PATH}"}
    held = sum(message.url.startswith(first.url) for message in messages)
    again = sum(span is not None for _, _, span in second.requests) - (len(plan.ranges) - held)
    assert again == 3


async def test_mirrors_that_serve_other_bytes_are_not_mixed(
    first: RangeServer, second: RangeServer, client: httpx.AsyncClient, grib: bytes
) -> None:
    first.overrides["gfs."] = _fails_after(20, first)
    archive = _archive(client, first.url, second.url)
    plan = await archive.plan(CYCLE, LEAD, WINDS)
    other = bytearray(grib)
    for message in plan.messages:
        other[message.end - 10] ^= 1
    (second.root / PATH).write_bytes(other)
    with pytest.raises(SourceThrottled):
        await archive.fetch(plan)
    assert [trouble.code for trouble in archive.troubles] == ["SourceThrottled", "SourceCorrupt"]
    assert "mirrors differ" in archive.troubles[1].detail


async def test_the_bundle_digest_is_equal_from_two_mirrors_and_after_the_store_is_wiped(
    first: RangeServer, second: RangeServer, client: httpx.AsyncClient, decoder: GribDecoder, tmp_path: Path
) -> None:
    digests = set()
    for number, server in enumerate((first, second)):
        store = LocalObjects(tmp_path / str(number))
        fetched = await fetch_fields(_archive(client, server.url), decoder, store, GRID, CYCLE, LEAD, SMALL)
        digests.add(keep_bundle(store, GRID.name, fetched.fields))
    assert len(digests) == 1


def test_the_index_builder_writes_what_the_file_holds(grib: bytes, idx: str) -> None:
    lines = idx.splitlines()
    assert len(lines) == 343
    assert len({line.split(":")[1] for line in lines}) == len(cut_messages(grib)) == 307
    assert short_name("v", 500) == "v500"
