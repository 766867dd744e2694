"""Reanalysis in the ARCO layout and climatology in the WeatherBench 2 layout, as Zarr v3."""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import ClassVar

import numpy as np
import zstandard

from adapters.archive_server.byte_cache import ByteCache
from adapters.archive_server.world import FINAL_DELAY, PRELIMINARY_DELAY, World
from weather.fields import Field
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
_VARIABLES_BY_NAME = {name: variable for variable, name in ARCHIVE_NAMES.items()}
_ERA5_FIRST = datetime(2010, 1, 1, tzinfo=UTC)
_ERA5_END = datetime(2040, 1, 1, tzinfo=UTC)
_TIME_UNITS = "hours since 1900-01-01"
_HOUR = timedelta(hours=1)
_DATA_TYPES = {"f": "float32", "i": "int64"}

ReadField = Callable[[str, int], Field | None]


class ZarrStore(ABC):
    """A chunk holds all levels of one variable at one point of the leading axes."""

    root: ClassVar[str]
    leading: ClassVar[tuple[str, ...]]

    def __init__(self, world: World, cache: ByteCache, leading: dict[str, np.ndarray]) -> None:
        self._world = world
        self._cache = cache
        self._coordinates = leading | {
            "level": np.array(world.levels, dtype="<i8"),
            "latitude": world.grid.latitudes.astype("<f4"),
            "longitude": world.grid.longitudes.astype("<f4"),
        }
        self._arrays = {name: self._coordinate_document(name) for name in self._coordinates}
        self._arrays |= {name: self._variable_document(variable) for variable, name in ARCHIVE_NAMES.items()}

    @abstractmethod
    def attributes(self, now: datetime) -> dict[str, str]: ...

    @abstractmethod
    def reader(self, index: tuple[int, ...], now: datetime) -> tuple[object, ReadField] | None:
        """Identity and fields of one point of the leading axes, None if nothing is there yet."""

    def get(self, path: str, now: datetime) -> bytes | None:
        if path == "zarr.json":
            return self._group(now)
        name, _, rest = path.partition("/")
        if name not in self._arrays:
            return None
        if rest == "zarr.json":
            return json.dumps(self._arrays[name]).encode()
        index = tuple(int(part) for part in rest[2:].split("/")) if re.fullmatch(r"c(/\d{1,9})+", rest) else ()
        if name in self._coordinates:
            return self._cache.get((self.root, name), partial(self._coordinate, name)) if index == (0,) else None
        return self._chunk(_VARIABLES_BY_NAME[name], index, now)

    def _chunk(self, variable: str, index: tuple[int, ...], now: datetime) -> bytes | None:
        shape, depth = self._arrays[ARCHIVE_NAMES[variable]]["shape"], len(self.leading)
        counts = shape[:depth] + [1] * len(shape[depth:])
        inside = len(index) == len(counts) and all(at < count for at, count in zip(index, counts, strict=True))
        point = self.reader(index[:depth], now) if inside else None
        if point is None:
            return None
        identity, read = point
        return self._cache.get((self.root, variable, identity), partial(self._pack, variable, read))

    def _pack(self, variable: str, read: ReadField) -> bytes | None:
        levels = self._world.levels if VARIABLES[variable].has_levels else (0,)
        fields = [read(variable, level) for level in levels]
        held = [field.values.astype("<f4").tobytes() for field in fields if field is not None]
        return _compress(b"".join(held)) if len(held) == len(levels) else None

    def _coordinate(self, name: str) -> bytes:
        return _compress(self._coordinates[name].tobytes())

    def _group(self, now: datetime) -> bytes:
        consolidated = {"kind": "inline", "must_understand": False, "metadata": self._arrays}
        document = {"zarr_format": 3, "node_type": "group", "attributes": self.attributes(now)}
        return json.dumps(document | {"consolidated_metadata": consolidated}).encode()

    def _coordinate_document(self, name: str) -> dict:
        values = self._coordinates[name]
        attributes = {"units": _TIME_UNITS, "calendar": "proleptic_gregorian"} if name == "time" else {}
        return _array_document(values.shape, (name,), values.dtype, 0) | {"attributes": attributes}

    def _variable_document(self, variable: str) -> dict:
        names = (*self.leading, *(("level",) if VARIABLES[variable].has_levels else ()), "latitude", "longitude")
        shape = tuple(len(self._coordinates[name]) for name in names)
        known = VARIABLES[variable]
        attributes = {"units": known.unit, "standard_name": known.standard_name}
        return _array_document(shape, names, np.dtype("<f4"), len(self.leading)) | {"attributes": attributes}


class Era5Store(ZarrStore):
    """Hourly; a chunk appears when its truth does, and is replaced by the final version."""

    root = "era5"
    leading = ("time",)

    def __init__(self, world: World, cache: ByteCache) -> None:
        since_1900 = (_ERA5_FIRST - datetime(1900, 1, 1, tzinfo=UTC)) // _HOUR
        super().__init__(
            world, cache, {"time": since_1900 + np.arange((_ERA5_END - _ERA5_FIRST) // _HOUR, dtype="<i8")}
        )

    def attributes(self, now: datetime) -> dict[str, str]:
        """Days whose 24 hours are all there."""
        return {
            "valid_time_start": f"{_ERA5_FIRST:%Y-%m-%d}",
            "valid_time_stop": _last_whole_day(now - FINAL_DELAY),
            "valid_time_stop_era5t": _last_whole_day(now - PRELIMINARY_DELAY),
        }

    def reader(self, index: tuple[int, ...], now: datetime) -> tuple[object, ReadField] | None:
        valid_time = _ERA5_FIRST + index[0] * _HOUR
        version = self._world.reanalysis_version(valid_time, now)
        if version is None:
            return None
        return (valid_time, version), partial(self._world.reanalysis, valid_time, version)


class ClimatologyStore(ZarrStore):
    root = "climatology"
    leading = ("hour", "dayofyear")

    def __init__(self, world: World, cache: ByteCache) -> None:
        super().__init__(
            world, cache, {"hour": np.arange(0, 24, 6, dtype="<i8"), "dayofyear": np.arange(1, 367, dtype="<i8")}
        )

    def attributes(self, now: datetime) -> dict[str, str]:
        return {}

    def reader(self, index: tuple[int, ...], now: datetime) -> tuple[object, ReadField] | None:
        hour, day_of_year = 6 * index[0], index[1] + 1
        return index, partial(self._world.climatology, hour, day_of_year)


def _array_document(shape: tuple[int, ...], names: tuple[str, ...], dtype: np.dtype, ones: int) -> dict:
    """The first `ones` axes have chunks of length 1, the others are not cut."""
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(shape),
        "data_type": _DATA_TYPES[dtype.kind],
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [1] * ones + list(shape[ones:])}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": "NaN" if dtype.kind == "f" else 0,
        "codecs": [
            {"name": "bytes", "configuration": {"endian": "little"}},
            {"name": "zstd", "configuration": {"level": 3, "checksum": False}},
        ],
        "dimension_names": list(names),
        "storage_transformers": [],
    }


def _compress(data: bytes) -> bytes:
    return zstandard.ZstdCompressor(level=3).compress(data)


def _last_whole_day(last_hour: datetime) -> str:
    return f"{last_hour + _HOUR - timedelta(days=1):%Y-%m-%d}"
