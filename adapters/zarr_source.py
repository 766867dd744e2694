"""ERA5 in the ARCO layout and climatology in that of WeatherBench 2, from Zarr stores on a web server.

They are read by value: no position in a store means anything by itself. Blocking; call from async code with
`asyncio.to_thread`.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, time, timedelta
from functools import cache

import numpy as np
import numpy.typing as npt
import zarr
from obstore.exceptions import BaseError, GenericError
from obstore.store import HTTPStore
from zarr.storage import ObjectStore

from adapters.gfs_index import Channel
from adapters.source_fields import bounded_field, microdegrees, positions_on, proved_field
from weather.faults import SourceCorrupt, SourceFault, SourceThrottled, TruthNotYetAvailable
from weather.fields import Field, short_name
from weather.grids import Grid
from weather.variables import VARIABLES

ARCHIVE_NAMES = {
    "2t": "2m_temperature",
    "10u": "10m_u_component_of_wind",
    "10v": "10m_v_component_of_wind",
    "msl": "mean_sea_level_pressure",
    "t": "temperature",
    "u": "u_component_of_wind",
    "v": "v_component_of_wind",
    "q": "specific_humidity",
    "z": "geopotential",
}
_CODECS = frozenset({"BytesCodec", "ZstdCodec", "Zstd", "BloscCodec", "Blosc"})
_MOST_CHUNK_BYTES = 512 * 1024 * 1024
_CLIENT = {"connect_timeout": "5s", "timeout": "120s", "allow_http": True}
_RETRY = {"max_retries": 2, "retry_timeout": timedelta(seconds=60)}
_WAIT = timedelta(seconds=60)
_EPOCH = datetime(1900, 1, 1, tzinfo=UTC)
_TIME_UNITS = ("hours since 1900-01-01", "hours since 1900-01-01 00:00:00")

Values = npt.NDArray[np.float32]


def fetch_reanalysis(
    url: str, valid_time: datetime, grid: Grid, channels: Sequence[Channel]
) -> tuple[str, list[Field]]:
    """The version (`era5` or `era5t`) and the proved fields; ready is what is complete, not what is promised."""
    with _faults(url):
        store = _Store(url)
        units = store.group["time"].attrs.get("units")
        if units not in _TIME_UNITS:
            raise SourceCorrupt("time is counted otherwise", found=units, expected=_TIME_UNITS[0])
        absent = TruthNotYetAvailable(f"{valid_time:%Y-%m-%dT%HZ} is not in the store")
        at = {"time": store.position("time", (valid_time - _EPOCH) // timedelta(hours=1), absent)}
        values = store.values(channels, grid, at)
        _require_present(values)
        fields = [proved_field(grid, channel, valid_time, values[channel]) for channel in channels]
        if len({field.digest for field in fields}) != len(fields):
            raise SourceCorrupt(f"two fields of {valid_time:%Y-%m-%dT%HZ} are the same")
        return _version(store.group.attrs.get("valid_time_stop"), valid_time), fields


def final_times(url: str, valid_times: Sequence[datetime]) -> list[datetime]:
    """Those of the times up to which the store says that it is final."""
    with _faults(url):
        mark = _Store(url).group.attrs.get("valid_time_stop")
        return [valid_time for valid_time in valid_times if _version(mark, valid_time) == "era5"]


def fetch_climatology(url: str, valid_time: datetime, grid: Grid, channels: Sequence[Channel]) -> list[Field]:
    """The slice of the hour and of the day of the year in the year of the valid time."""
    wanted = {"hour": valid_time.hour, "dayofyear": valid_time.timetuple().tm_yday}
    with _faults(url):
        store = _Store(url)
        values = store.values(channels, grid, {axis: store.position(axis, value) for axis, value in wanted.items()})
        return [bounded_field(grid, channel, valid_time, values[channel]) for channel in channels]


class _Store:
    """An opened store. `at` gives the position on each axis before level, latitude and longitude."""

    def __init__(self, url: str) -> None:
        store = HTTPStore.from_url(url, client_options=_CLIENT, retry_config=_RETRY)
        self.group = zarr.open_group(ObjectStore(store, read_only=True), mode="r")
        self.coordinate = cache(lambda name: np.asarray(self._array(name)[...]))

    def position(self, axis: str, value: int, absent: SourceFault | None = None) -> int:
        """Where the one point of the axis with this value stands."""
        found = np.flatnonzero(self.coordinate(axis) == value)
        if found.size > 1:
            raise SourceCorrupt(f"{axis} {value} stands {found.size} times in the store")
        if not found.size:
            raise absent or SourceCorrupt(f"the store has no {axis} {value}")
        return int(found[0])

    def values(self, channels: Sequence[Channel], grid: Grid, at: Mapping[str, int]) -> dict[Channel, Values]:
        """The channels in the order of the grid; what a chunk that is absent would hold is NaN."""
        degrees = (microdegrees(self.coordinate(name)) for name in ("latitude", "longitude"))
        points = np.ix_(*positions_on(grid, *degrees))
        found: dict[Channel, Values] = {}
        for variable in dict.fromkeys(variable for variable, _ in channels):
            layers = self._layers(variable, at)
            levels = [level for name, level in channels if name == variable]
            found |= {
                (variable, level): (layers if layers.ndim == 2 else layers[self.position("level", level)])[points]
                for level in levels
            }
        return found

    def _layers(self, variable: str, at: Mapping[str, int]) -> Values:
        """All levels of a variable, (level, latitude, longitude), or (latitude, longitude) at the surface."""
        array = self._array(ARCHIVE_NAMES[variable])
        axes = _axes(array)
        wanted = (*(("level",) if VARIABLES[variable].has_levels else ()), "latitude", "longitude")
        if sorted(axes) != sorted((*at, *wanted)) or array.dtype != np.float32:
            raise SourceCorrupt(f"{array.name} has other axes", found=(axes, array.dtype), expected=(*at, *wanted))
        values = np.asarray(array[tuple(at.get(axis, slice(None)) for axis in axes)])
        left = [axis for axis in axes if axis in wanted]
        layers = values.transpose([left.index(axis) for axis in wanted])
        return np.full_like(layers, np.nan) if (layers == array.fill_value).all() else layers

    def _array(self, name: str) -> zarr.Array:
        array = self.group[name]
        if not isinstance(array, zarr.Array):
            raise SourceCorrupt(f"{name} is not an array")
        serializer = (array.serializer,) if array.metadata.zarr_format == 3 else ()
        codecs = {type(codec).__name__ for codec in (*array.filters, *array.compressors, *serializer)}
        size = math.prod(array.chunks) * array.dtype.itemsize
        if not codecs <= _CODECS or size > _MOST_CHUNK_BYTES:
            raise SourceCorrupt(f"{name} is not stored as allowed", found=(sorted(codecs), f"{size} bytes a chunk"))
        return array


@contextmanager
def _faults(url: str) -> Generator[None]:
    """Name what a store or its server did wrong."""
    try:
        yield
    except SourceFault:
        raise
    except GenericError as error:  # no connection, no answer, 408, 429 or 5xx after retries
        raise SourceThrottled(f"{url}: {str(error)[:300]}", retry_after=_WAIT) from error
    except (BaseError, ValueError, KeyError, TypeError, IndexError, RuntimeError) as error:
        raise SourceCorrupt(f"{url}: {type(error).__name__}: {str(error)[:300]}") from error


def _axes(array: zarr.Array) -> list[str]:
    names = array.metadata.dimension_names if array.metadata.zarr_format == 3 else array.attrs.get("_ARRAY_DIMENSIONS")
    return [str(name) for name in names] if isinstance(names, (list, tuple)) else []


def _require_present(found: Mapping[Channel, Values]) -> None:
    for channel, values in found.items():
        if absent := int(np.isnan(values).sum()):
            cells = f"{absent} of {values.size} cells absent"
            raise TruthNotYetAvailable(f"{short_name(*channel)} is not there", found=cells)


def _version(mark: object, valid_time: datetime) -> str:
    """`era5` up to the store's own mark (a date means the whole day), else `era5t`."""
    if not isinstance(mark, str):
        return "era5t"
    stop = datetime.fromisoformat(mark)
    if len(mark) == len("2026-11-22"):
        stop = datetime.combine(stop, time.max)
    return "era5" if valid_time <= stop.replace(tzinfo=stop.tzinfo or UTC) else "era5t"
