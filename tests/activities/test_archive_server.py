from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Thread

import eccodes
import httpx
import numpy as np
import pytest
import uvicorn
import xarray
import zarr.storage
from obstore.store import HTTPStore

from adapters.archive_server.app import archive_app
from adapters.archive_server.gfs_files import GfsFiles, appears
from adapters.archive_server.world import PlanetWorld, kept
from adapters.archive_server.zarr_stores import ARCHIVE_NAMES
from weather.grids import Grid
from weather.planet.planet import Offset

GRID = Grid("5p625", 87_187_500, -5_625_000, 32, 0, 5_625_000, 64)
REGIONAL = Grid("regional", 80_000_000, -10_000_000, 7, 290_000_000, 10_000_000, 12)
LEVELS = (500, 850, 1000)
CYCLE = datetime(2026, 11, 22, 18, tzinfo=UTC)
NOW = datetime(2026, 12, 10, tzinfo=UTC)
INCIDENT = Offset("2t", 0, CYCLE, CYCLE, (0.0, 90.0), (0.0, 360.0), 5.0)
WORLD = PlanetWorld(7, GRID, LEVELS, (INCIDENT,))
FILE = "/gfs.20261122/18/atmos/gfs.t18z.pgrb2.5p62.f"
KEYS = ("shortName", "paramId", "typeOfLevel", "level", "validityDate", "validityTime", "step", "centre", "packingType")


@pytest.fixture(scope="module")
def base_url() -> Iterator[str]:
    listener = socket.socket(proto=socket.IPPROTO_TCP)  # so that asyncio sends without delay
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    app = archive_app(WORLD, "pgrb2.5p62", steered=True)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
    thread = Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    thread.join()


@pytest.fixture
def archive(base_url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=base_url, trust_env=False) as client:
        client.post("/now", json={"now": NOW.isoformat()}).raise_for_status()
        client.post("/troubles", json=[]).raise_for_status()
        yield client


def decode(message: bytes) -> tuple[dict, np.ndarray]:
    handle = eccodes.codes_new_from_message(message)
    try:
        keys = {key: eccodes.codes_get(handle, key) for key in KEYS}
        return keys, eccodes.codes_get_values(handle).reshape(eccodes.codes_get(handle, "Nj"), -1)
    finally:
        eccodes.codes_release(handle)


def index_of(archive: httpx.Client, lead: str) -> list[tuple[str, str, int, int | None]]:
    """VAR, LEVEL, first byte, last byte."""
    lines = [line.split(":") for line in archive.get(f"{FILE}{lead}.idx").raise_for_status().text.splitlines()]
    stops = [*(int(line[1]) - 1 for line in lines[1:]), None]
    return [(line[3], line[4], int(line[1]), stop) for line, stop in zip(lines, stops, strict=True)]


def ranged(archive: httpx.Client, lead: str, first: int, last: int | None) -> httpx.Response:
    return archive.get(FILE + lead, headers={"range": f"bytes={first}-{'' if last is None else last}"})


def test_index_has_the_lines_of_noaa_in_their_order(archive: httpx.Client) -> None:
    text = archive.get(f"{FILE}006.idx").text
    lines = text.splitlines()
    assert lines[0] == "1:0:d=2026112218:PRMSL:mean sea level:6 hour fcst:"
    names = [":".join(line.split(":")[3:5]) for line in lines]
    assert names[1] == "TMP:2 mb" and names[2:7] == [
        f"{name}:500 mb" for name in ("HGT", "TMP", "SPFH", "UGRD", "VGRD")
    ]
    assert names[-10:-3] == [
        "TMP:1000 mb",
        "SPFH:1000 mb",
        "UGRD:1000 mb",
        "VGRD:1000 mb",
        "MSLET:mean sea level",
        "HGT:1000 mb",
        "HGT:surface",
    ]
    assert [int(line.split(":")[0]) for line in lines] == list(range(1, 23))
    assert archive.get(f"{FILE}000.idx").text.endswith(":VGRD:10 m above ground:anl:\n")
    assert text.endswith("\n")


@pytest.mark.parametrize("lead_hours", [0, 120])
def test_ranges_decode_to_the_fields_of_the_planet(archive: httpx.Client, lead_hours: int) -> None:
    """AT-D29"""
    wanted = {("TMP", "500 mb"): ("t", 500), ("HGT", "850 mb"): ("z", 850), ("SPFH", "1000 mb"): ("q", 1000)}
    wanted |= {("PRMSL", "mean sea level"): ("msl", 0), ("TMP", "2 m above ground"): ("2t", 0)}
    wanted |= {("VGRD", "10 m above ground"): ("10v", 0), ("UGRD", "500 mb"): ("u", 500)}
    lead = f"{lead_hours:03d}"
    for name, level_text, first, last in index_of(archive, lead):
        answer = ranged(archive, lead, first, last)
        assert answer.status_code == 206 and answer.content[:4] == b"GRIB" and answer.content[-4:] == b"7777"
        keys, values = decode(answer.content)
        assert (keys["centre"], keys["packingType"]) == ("kwbc", "grid_complex_spatial_differencing")
        assert (keys["step"], keys["validityDate"]) == (lead_hours, 20261122 if lead_hours == 0 else 20261127)
        if (name, level_text) in wanted:
            variable, level = wanted.pop((name, level_text))
            true = WORLD.gfs(CYCLE, lead_hours, variable, level).values.astype(float)
            true = true / 9.80665 if variable == "z" else true
            assert values == pytest.approx(true, abs=np.ptp(true) / 2**16)
    assert not wanted


def test_messages_carry_the_keys_of_their_channels(archive: httpx.Client) -> None:
    found = {}
    for name, level_text, first, last in index_of(archive, "006"):
        keys, _ = decode(ranged(archive, "006", first, last).content)
        found[f"{name}:{level_text}"] = tuple(keys[key] for key in KEYS[:4])
    assert found["PRMSL:mean sea level"] == ("prmsl", 260074, "meanSea", 0)
    assert found["MSLET:mean sea level"][0] == "mslet"
    assert found["TMP:2 mb"] == ("t", 130, "isobaricInhPa", 2)
    assert found["TMP:2 m above ground"] == ("2t", 167, "heightAboveGround", 2)
    assert found["UGRD:10 m above ground"] == ("10u", 165, "heightAboveGround", 10)
    assert found["HGT:1000 mb"] == ("gh", 156, "isobaricInhPa", 1000)
    assert found["SPFH:850 mb"] == ("q", 133, "isobaricInhPa", 850)
    assert found["HGT:surface"][0] == "orog"


def test_more_bits_are_closer_and_a_grid_may_cross_greenwich() -> None:
    world = PlanetWorld(7, REGIONAL, LEVELS)
    data = GfsFiles(world, "p", 24).get("gfs.20261122/18/atmos/gfs.t18z.p.f000", NOW)
    assert data is not None
    _, values = decode(data[: int.from_bytes(data[8:16], "big")])
    true = world.gfs(CYCLE, 0, "msl", 0).values.astype(float)
    assert values == pytest.approx(true, abs=np.ptp(true) / 2**22)
    handle = eccodes.codes_new_from_message(data)
    found = [eccodes.codes_get(handle, f"longitudeOf{end}GridPointInDegrees") for end in ("First", "Last")]
    eccodes.codes_release(handle)
    assert found == [290.0, 40.0]


def test_head_range_and_etag_agree_with_the_whole_object(archive: httpx.Client) -> None:
    whole, head = archive.get(f"{FILE}006"), archive.head(f"{FILE}006")
    assert head.status_code == 200 and head.content == b"" and int(head.headers["content-length"]) == len(whole.content)
    assert head.headers["etag"] == whole.headers["etag"] and head.headers["accept-ranges"] == "bytes"
    part = ranged(archive, "006", 10, 19)
    assert part.content == whole.content[10:20] and part.headers["etag"] == whole.headers["etag"]
    assert part.headers["content-range"] == f"bytes 10-19/{len(whole.content)}"
    assert archive.get(f"{FILE}006", headers={"range": "bytes=-7"}).content == whole.content[-7:]
    beyond = ranged(archive, "006", len(whole.content), None)
    assert beyond.status_code == 416 and beyond.headers["content-range"] == f"bytes */{len(whole.content)}"


def test_a_file_is_absent_before_its_time_and_its_index_follows_it(archive: httpx.Client) -> None:
    def statuses(now: datetime) -> list[int]:
        archive.post("/now", json={"now": now.isoformat()}).raise_for_status()
        return [archive.get(path).status_code for path in (f"{FILE}240", f"{FILE}240.idx")]

    expected = CYCLE + timedelta(hours=4, minutes=45)
    assert appears(CYCLE, 240) == expected and appears(CYCLE, 0) == CYCLE + timedelta(hours=3, minutes=25)
    assert statuses(expected - timedelta(seconds=1)) == [404, 404]
    assert statuses(expected) == [200, 404]
    assert statuses(expected + timedelta(minutes=1)) == [200, 200]


@pytest.mark.parametrize(
    "path",
    [
        "/gfs.20261122/18/atmos/gfs.t12z.pgrb2.5p62.f000",
        "/gfs.20261122/17/atmos/gfs.t17z.pgrb2.5p62.f000",
        "/gfs.20261322/18/atmos/gfs.t18z.pgrb2.5p62.f000",
        "/gfs.20261122/18/atmos/gfs.t18z.pgrb2.5p62.f121",
        "/gfs.20261122/18/atmos/gfs.t18z.pgrb2.0p25.f000",
        "/era5/2m_temperature/c/140000/0/1",
        "/era5/2m_temperature/c/0",
        "/era5/temperature/zarr.json/x",
        "/era5/nothing/zarr.json",
        "/climatology/temperature/c/4/0/0/0/0",
        "/",
    ],
)
def test_what_never_was_is_answered_as_s3_does(archive: httpx.Client, path: str) -> None:
    answer = archive.get(path)
    assert answer.status_code == 404 and "<Code>NoSuchKey</Code>" in answer.text
    assert answer.headers["content-type"] == "application/xml"


def test_era5_opens_with_xarray_and_equals_the_planet(base_url: str, archive: httpx.Client) -> None:
    """AT-D20, by Zarr"""
    store = HTTPStore.from_url(f"{base_url}/era5", client_options={"allow_http": True})
    with xarray.open_zarr(zarr.storage.ObjectStore(store, read_only=True), chunks=None) as era5:
        assert era5.attrs["valid_time_stop_era5t"] == "2026-12-04" and era5.attrs["valid_time_stop"] == "2026-10-10"
        assert era5.latitude.values == pytest.approx(GRID.latitudes, abs=0)
        assert list(era5.level.values) == list(LEVELS)
        for variable, name in ARCHIVE_NAMES.items():
            level = 850 if "level" in era5[name].dims else 0
            place = {"time": np.datetime64("2026-11-23T06")} | ({"level": level} if level else {})
            expected = WORLD.planet.era5(CYCLE + timedelta(hours=12)).field(variable, level, GRID)
            assert era5[name].sel(place).values.tobytes() == expected.values.tobytes()


def test_climatology_opens_with_xarray_and_equals_the_planet(base_url: str, archive: httpx.Client) -> None:
    store = HTTPStore.from_url(f"{base_url}/climatology", client_options={"allow_http": True})
    with xarray.open_zarr(zarr.storage.ObjectStore(store, read_only=True), chunks=None) as climatology:
        assert climatology.temperature.dims == ("hour", "dayofyear", "level", "latitude", "longitude")
        found = climatology.temperature.sel(hour=18, dayofyear=366, level=500).values
        expected = WORLD.planet.climatology(datetime(2024, 12, 31, 18, tzinfo=UTC)).field("t", 500, GRID)
        assert found.tobytes() == expected.values.tobytes()


def test_truth_appears_after_five_days_and_is_final_after_sixty(base_url: str, archive: httpx.Client) -> None:
    index = (CYCLE - datetime(2010, 1, 1, tzinfo=UTC)) // timedelta(hours=1)

    def chunk(now: datetime) -> httpx.Response:
        archive.post("/now", json={"now": now.isoformat()}).raise_for_status()
        return archive.get(f"/era5/2m_temperature/c/{index}/0/0")

    absent = chunk(CYCLE + timedelta(days=5, seconds=-1))
    preliminary, final = chunk(CYCLE + timedelta(days=5)), chunk(CYCLE + timedelta(days=60))
    assert [absent.status_code, preliminary.status_code, final.status_code] == [404, 200, 200]
    assert preliminary.content != final.content


async def test_nobody_steers_an_archive_unless_allowed() -> None:
    transport = httpx.ASGITransport(app=archive_app(WORLD, "p", now=NOW))
    async with httpx.AsyncClient(transport=transport, base_url="http://archive") as client:
        assert (await client.post("/now", json={"now": NOW.isoformat()})).status_code == 405
        assert (await client.post("/troubles", json=[])).status_code == 405


def trouble(archive: httpx.Client, **members: object) -> None:
    archive.post("/troubles", json=[{"path_prefix": FILE[1:], **members}]).raise_for_status()


def test_status_troubles_pass_after_their_times(archive: httpx.Client) -> None:
    trouble(archive, kind="status", status=429, retry_after=7, times=2)
    answers = [archive.get(f"{FILE}006") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [429, 429, 200]
    assert answers[0].headers["retry-after"] == "7"
    trouble(archive, kind="status", status=503)
    assert "<Code>SlowDown</Code>" in archive.get(f"{FILE}006").text
    trouble(archive, kind="status", status=302)
    assert "location" in archive.get(f"{FILE}006").headers


def test_bodies_and_headers_are_spoiled_as_asked(archive: httpx.Client) -> None:
    good = ranged(archive, "006", 0, 99)
    found = {}
    for kind in ("short", "long", "bit_flip", "wrong_range", "html"):
        trouble(archive, kind=kind, ranges_only=True)
        assert archive.get(f"{FILE}006.idx").text.startswith("1:0:d=")
        found[kind] = ranged(archive, "006", 0, 99)
    assert found["short"].status_code == 206 and found["short"].content == good.content[:50]
    assert found["long"].content == good.content + b"7777"
    assert sum(a != b for a, b in zip(found["bit_flip"].content, good.content, strict=True)) == 1
    assert found["wrong_range"].headers["content-range"] != good.headers["content-range"]
    assert found["html"].status_code == 200 and re.match("text/html", found["html"].headers["content-type"])


def test_a_slow_answer_drips(archive: httpx.Client) -> None:
    trouble(archive, kind="slow", seconds_per_byte=30.0)
    with pytest.raises(httpx.ReadTimeout):
        archive.get(f"{FILE}006", timeout=0.2)
    trouble(archive, kind="slow", seconds_per_byte=0.0)
    assert len(ranged(archive, "006", 0, 99).content) == 100


def test_what_many_ask_for_at_once_is_built_once() -> None:
    built = []

    @kept
    def twice(number: int) -> int:
        built.append(number)
        return 2 * number

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(twice, [1, 2] * 20)) == [2, 4] * 20
    assert sorted(built) == [1, 2]
