from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numcodecs
import numpy as np
import pytest
import zarr
from starlette.requests import Request
from starlette.responses import Response
from zarr.codecs import BloscCodec, GzipCodec

from adapters.zarr_source import fetch_reanalysis
from tests.activities.archives.zarr_stores import ZarrLayout, cell, write_store
from tests.range_server import RangeServer, free_port, range_server
from weather.faults import SourceCorrupt, SourceFault, SourceThrottled, TruthNotYetAvailable
from weather.grids import Grid

GRID = Grid("toy", 60_000_000, -60_000_000, 3, 0, 90_000_000, 4)
FIRST = datetime(2026, 11, 22, 12, tzinfo=UTC)
HOURS = [(FIRST - datetime(1900, 1, 1, tzinfo=UTC)) // timedelta(hours=1) + 6 * step for step in range(4)]
VALID_TIME = FIRST + timedelta(hours=12)
CHANNELS = [("2t", 0), ("t", 850), ("t", 500), ("u", 1000)]
MARKS = {"valid_time_start": "1940-01-01", "valid_time_stop": "2026-11-22", "valid_time_stop_era5t": "2026-12-31"}
LAYOUT = ZarrLayout({"time": HOURS}, attributes=MARKS)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RangeServer]:
    with range_server(tmp_path_factory.mktemp("stores")) as server:
        yield server


@pytest.fixture
def root(server: RangeServer) -> Path:
    server.overrides.clear()
    return Path(tempfile.mkdtemp(dir=server.root))


@pytest.fixture
def era5(server: RangeServer, root: Path) -> str:
    return f"{server.url}/{root.name}"


def _expected(variable: str, level: int, number: int = 2) -> np.ndarray:
    return np.array([[cell(variable, level, y, x, number) for x in GRID.longitudes] for y in GRID.latitudes])


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({}, id="as written"),
        pytest.param({"levels": (1000, 500, 850)}, id="levels in another order"),
        pytest.param({"latitudes": (-60.0, 0.0, 60.0)}, id="south to north"),
        pytest.param({"longitudes": (-180.0, -90.0, 0.0, 90.0)}, id="from the date line"),
        pytest.param({"axes": ("latitude", "time", "longitude", "level")}, id="other axes"),
        pytest.param({"leading": {"time": [HOURS[2], HOURS[0], HOURS[1]]}}, id="time in another order"),
        pytest.param({"compressors": BloscCodec(cname="lz4")}, id="blosc"),
        pytest.param({"zarr_format": 2, "compressors": numcodecs.Blosc("lz4")}, id="format 2 with blosc"),
    ],
)
def test_fields_are_found_by_value_whatever_the_layout(root: Path, era5: str, change: dict) -> None:
    layout = replace(LAYOUT, **change)
    write_store(root, layout)
    version, fields = fetch_reanalysis(era5, VALID_TIME, GRID, CHANNELS)
    number = list(layout.leading["time"]).index(HOURS[2])
    assert [(field.variable, field.level) for field in fields] == CHANNELS
    for field in fields:
        assert np.array_equal(field.values, _expected(field.variable, field.level, number))
        assert field.valid_time == VALID_TIME
    assert version == "era5t"


@pytest.mark.parametrize(
    ("stop", "version"),
    [
        ("2026-11-22", "era5t"),
        ("2026-11-23", "era5"),
        ("2026-11-23T00:00:00", "era5"),
        ("2026-11-22T23:00:00", "era5t"),
        (None, "era5t"),
    ],
)
def test_the_version_is_the_stores_mark(root: Path, era5: str, stop: str | None, version: str) -> None:
    write_store(root, replace(LAYOUT, attributes={"valid_time_stop": stop}))
    assert fetch_reanalysis(era5, VALID_TIME, GRID, CHANNELS)[0] == version


@pytest.mark.parametrize("fill_value", [float("nan"), 0.0])
def test_an_absent_chunk_is_not_yet_there_whatever_the_metadata_promise(
    root: Path, era5: str, fill_value: float
) -> None:
    promised = {"valid_time_stop": "2030-01-01"}
    write_store(root, replace(LAYOUT, attributes=promised, fill_value=fill_value), absent=[("t", 2)])
    with pytest.raises(TruthNotYetAvailable, match="t850 is not there; found 12 of 12 cells"):
        fetch_reanalysis(era5, VALID_TIME, GRID, CHANNELS)
    assert len(fetch_reanalysis(era5, VALID_TIME - timedelta(hours=6), GRID, CHANNELS)[1]) == len(CHANNELS)


def test_a_time_that_is_not_in_the_store_is_not_yet_there(root: Path, era5: str) -> None:
    write_store(root, LAYOUT)
    with pytest.raises(TruthNotYetAvailable, match="2026-11-23T01Z is not in the store"):
        fetch_reanalysis(era5, VALID_TIME + timedelta(hours=1), GRID, CHANNELS)


def _array(group: zarr.Group, name: str) -> zarr.Array:
    array = group[name]
    assert isinstance(array, zarr.Array)
    return array


def _one_cell_absent(group: zarr.Group) -> None:
    _array(group, "2m_temperature")[2, 1, 1] = np.nan


def _celsius(group: zarr.Group) -> None:
    array = _array(group, "2m_temperature")
    array[2] = np.asarray(array[2]) - 273.15


def _constant(group: zarr.Group) -> None:
    _array(group, "2m_temperature")[2] = 280.0


def _same_twice(group: zarr.Group) -> None:
    array = _array(group, "temperature")
    array[2, 0] = array[2, 1]


def _minutes(group: zarr.Group) -> None:
    _array(group, "time").attrs["units"] = "minutes since 1900-01-01"


def _time_twice(group: zarr.Group) -> None:
    _array(group, "time")[3] = HOURS[2]


@pytest.mark.parametrize(
    ("harm", "fault", "says"),
    [
        (_one_cell_absent, TruthNotYetAvailable, "1 of 12 cells"),
        (_celsius, SourceCorrupt, "2t is out of bounds"),
        (_constant, SourceCorrupt, "2t is constant"),
        (_same_twice, SourceCorrupt, "two fields of 2026-11-23T00Z are the same"),
        (_minutes, SourceCorrupt, "time is counted otherwise"),
        (_time_twice, SourceCorrupt, "stands 2 times"),
    ],
)
def test_what_does_not_prove_itself_is_never_ready(
    root: Path, era5: str, harm: Callable[[zarr.Group], None], fault: type[SourceFault], says: str
) -> None:
    harm(write_store(root, LAYOUT))
    with pytest.raises(fault, match=says):
        fetch_reanalysis(era5, VALID_TIME, GRID, CHANNELS)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        pytest.param({"levels": (500, 1000)}, "no level 850", id="level missing"),
        pytest.param({"latitudes": (60.5, 0.5, -59.5)}, "latitudes of grid toy", id="half a degree off"),
        pytest.param({"longitudes": (0.0, 45.0, 90.0, 135.0, 180.0, 270.0)}, "longitudes of grid toy", id="finer"),
        pytest.param({"dtype": "float64"}, "other axes", id="float64"),
        pytest.param({"compressors": GzipCodec()}, "not stored as allowed", id="another codec"),
    ],
)
def test_a_store_of_another_kind_is_refused(root: Path, era5: str, change: dict, says: str) -> None:
    write_store(root, replace(LAYOUT, **change))
    with pytest.raises(SourceCorrupt, match=says):
        fetch_reanalysis(era5, VALID_TIME, GRID, CHANNELS)


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        (lambda request: Response(status_code=429), SourceThrottled),
        (lambda request: Response(status_code=503), SourceThrottled),
        (lambda request: Response(status_code=403), SourceCorrupt),
        (lambda request: Response(b"not zstd"), SourceCorrupt),
    ],
)
def test_trouble_of_the_server_has_its_class(
    server: RangeServer,
    root: Path,
    era5: str,
    answer: Callable[[Request], Response],
    fault: type[SourceFault],
) -> None:
    write_store(root, LAYOUT)
    server.overrides[f"{root.name}/temperature/c/"] = answer
    with pytest.raises(SourceFault) as raised:
        fetch_reanalysis(era5, VALID_TIME, GRID, CHANNELS)
    assert type(raised.value) is fault


def test_a_store_that_is_not_there_or_does_not_answer_is_the_sources_fault(era5: str) -> None:
    with pytest.raises(SourceCorrupt, match="GroupNotFoundError"):
        fetch_reanalysis(era5, VALID_TIME, GRID, CHANNELS)
    with free_port() as port, pytest.raises(SourceThrottled):
        fetch_reanalysis(f"http://127.0.0.1:{port}/store", VALID_TIME, GRID, CHANNELS)
