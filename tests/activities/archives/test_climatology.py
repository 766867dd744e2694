from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
import zarr

from adapters.zarr_source import fetch_climatology
from tests.activities.archives.zarr_stores import ZarrLayout, cell, write_store
from tests.range_server import RangeServer, range_server
from weather.faults import SourceCorrupt
from weather.grids import Grid

GRID = Grid("toy", 60_000_000, -60_000_000, 3, 0, 90_000_000, 4)
CHANNELS = [("2t", 0), ("t", 850), ("u", 500)]
HOURS, DAYS = (0, 6, 12, 18), (1, 59, 60, 61, 365, 366)
LAYOUT = ZarrLayout({"hour": HOURS, "dayofyear": DAYS})


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RangeServer]:
    root = tmp_path_factory.mktemp("stores")
    write_store(root / "plain", LAYOUT)
    with range_server(root) as server:
        yield server


@pytest.mark.parametrize(
    ("valid_time", "day"),
    [
        (datetime(2026, 1, 1, 0, tzinfo=UTC), 1),
        (datetime(2026, 2, 28, 18, tzinfo=UTC), 59),
        (datetime(2026, 3, 1, 6, tzinfo=UTC), 60),
        (datetime(2028, 2, 29, 12, tzinfo=UTC), 60),
        (datetime(2028, 3, 1, 6, tzinfo=UTC), 61),
        (datetime(2026, 12, 31, 18, tzinfo=UTC), 365),
        (datetime(2028, 12, 31, 18, tzinfo=UTC), 366),
    ],
)
def test_a_slice_is_that_of_the_hour_and_of_the_day_in_its_own_year(
    server: RangeServer, valid_time: datetime, day: int
) -> None:
    fields = fetch_climatology(f"{server.url}/plain", valid_time, GRID, CHANNELS)
    number = HOURS.index(valid_time.hour) * len(DAYS) + DAYS.index(day)
    assert [(field.variable, field.level, field.valid_time) for field in fields] == [(*c, valid_time) for c in CHANNELS]
    for field in fields:
        expected = [[cell(field.variable, field.level, y, x, number) for x in GRID.longitudes] for y in GRID.latitudes]
        assert np.array_equal(field.values, np.array(expected))


def test_axes_may_stand_in_any_order(server: RangeServer) -> None:
    axes = ("dayofyear", "longitude", "level", "hour", "latitude")
    write_store(server.root / "turned", replace(LAYOUT, axes=axes))
    valid_time = datetime(2028, 2, 29, 12, tzinfo=UTC)
    plain, turned = (
        fetch_climatology(f"{server.url}/{name}", valid_time, GRID, CHANNELS) for name in ("plain", "turned")
    )
    assert [field.digest for field in plain] == [field.digest for field in turned]


@pytest.mark.parametrize(
    ("valid_time", "says"),
    [
        (datetime(2026, 3, 1, 3, tzinfo=UTC), "no hour 3"),
        (datetime(2026, 7, 1, 6, tzinfo=UTC), "no dayofyear 182"),
    ],
)
def test_an_hour_or_day_that_is_absent_is_refused(server: RangeServer, valid_time: datetime, says: str) -> None:
    with pytest.raises(SourceCorrupt, match=says):
        fetch_climatology(f"{server.url}/plain", valid_time, GRID, CHANNELS)


def test_a_hole_in_a_climatology_is_corruption_and_not_lateness(server: RangeServer) -> None:
    write_store(server.root / "holes", LAYOUT, absent=[("t", 2 * len(DAYS) + 2)])
    with pytest.raises(SourceCorrupt, match="not finite"):
        fetch_climatology(f"{server.url}/holes", datetime(2026, 3, 1, 12, tzinfo=UTC), GRID, CHANNELS)


def test_a_climatology_may_be_constant_but_not_out_of_bounds(server: RangeServer) -> None:
    group = write_store(server.root / "flat", LAYOUT)
    array = group["2m_temperature"]
    assert isinstance(array, zarr.Array)
    url, valid_time = f"{server.url}/flat", datetime(2026, 3, 1, 12, tzinfo=UTC)
    array[2, 2] = 280.0
    assert np.ptp(fetch_climatology(url, valid_time, GRID, [("2t", 0)])[0].values) == 0
    array[2, 2] = 7.0
    with pytest.raises(SourceCorrupt, match="out of bounds"):
        fetch_climatology(url, valid_time, GRID, [("2t", 0)])
