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
import zarr
import zstandard
from zarr.core.buffer import Buffer
from zarr.storage import MemoryStore

from adapters.archive_server.byte_cache import ByteCache
from adapters.archive_server.world import FINAL_DELAY, PRELIMINARY_DELAY, World
from adapters.zarr_source import ARCHIVE_NAMES
from weather.fields import Field
from weather.variables import VARIABLES

_ERA5_FIRST = datetime(2010, 1, 1, tzinfo=UTC)
_ERA5_END = datetime(2040, 1, 1, tzinfo=UTC)
_LEAP_YEAR = datetime(2000, 1, 1, tzinfo=UTC)
_TIME = {"units": "hours since 1900-01-01", "calendar": "proleptic_gregorian"}
_HOUR = timedelta(hours=1)

ReadField = Callable[[str, int], Field | None]


class ZarrStore(ABC):
    """A chunk holds all levels of one variable at one point of the leading axes; only coordinates are kept."""

    root: ClassVar[str]

    def __init__(self, world: World, cache: ByteCache, leading: dict[str, np.ndarray]) -> None:
        self._world = world
        self._cache = cache
        self._depth = len(leading)
        self._kept: dict[str, Buffer] = {}
        group = zarr.create_group(MemoryStore(self._kept))
        self._coordinates = leading | {
            "level": np.array(world.levels, dtype="<i8"),
            "latitude": world.grid.latitudes.astype("<f4"),
            "longitude": world.grid.longitudes.astype("<f4"),
        }
        for name, values in self._coordinates.items():
            attributes = _TIME if name == "time" else {}
            group.create_array(
                name, data=values, chunks=values.shape, dimension_names=[name], attributes={**attributes}
            )
        self._arrays = {name: (variable, self._array(group, variable)) for variable, name in ARCHIVE_NAMES.items()}

    def _array(self, group: zarr.Group, variable: str) -> zarr.Array:
        """Its metadata; chunks are made when they are asked for."""
        known = VARIABLES[variable]
        axes = [axis for axis in self._coordinates if axis != "level" or known.has_levels]
        shape = tuple(len(self._coordinates[axis]) for axis in axes)
        return group.create_array(
            ARCHIVE_NAMES[variable],
            shape=shape,
            chunks=(1,) * self._depth + shape[self._depth :],
            dtype="float32",
            fill_value=np.nan,
            dimension_names=axes,
            attributes={"units": known.unit, "standard_name": known.standard_name},
        )

    @abstractmethod
    def attributes(self, now: datetime) -> dict[str, str]: ...

    @abstractmethod
    def reader(self, index: tuple[int, ...], now: datetime) -> tuple[object, ReadField] | None:
        """Identity and fields of one point of the leading axes, None if nothing is there yet."""

    def get(self, path: str, now: datetime) -> bytes | None:
        if path == "zarr.json":
            return self._group(now)
        if path in self._kept:
            return self._kept[path].to_bytes()
        parts = re.fullmatch(r"(\w+)/c/(\d{1,9}(?:/\d{1,9})*)", path)
        if parts is None or parts[1] not in self._arrays:
            return None
        variable, array = self._arrays[parts[1]]
        index, counts = tuple(map(int, parts[2].split("/"))), array.cdata_shape
        inside = len(index) == len(counts) and all(at < count for at, count in zip(index, counts, strict=True))
        point = self.reader(index[: self._depth], now) if inside else None
        if point is None:
            return None
        identity, read = point
        return self._cache.get((self.root, variable, identity), partial(self._pack, variable, read))

    def _pack(self, variable: str, read: ReadField) -> bytes | None:
        levels = self._world.levels if VARIABLES[variable].has_levels else (0,)
        fields = [read(variable, level) for level in levels]
        held = [field.values.astype("<f4").tobytes() for field in fields if field is not None]
        return zstandard.compress(b"".join(held)) if len(held) == len(levels) else None

    def _group(self, now: datetime) -> bytes:
        documents = {path: json.loads(held.to_bytes()) for path, held in self._kept.items() if path[-4:] == "json"}
        group = documents.pop("zarr.json") | {"attributes": self.attributes(now)}
        arrays = {path.removesuffix("/zarr.json"): document for path, document in documents.items()}
        consolidated = {"kind": "inline", "must_understand": False, "metadata": arrays}
        return json.dumps(group | {"consolidated_metadata": consolidated}).encode()


class Era5Store(ZarrStore):
    """Hourly; a chunk appears when its truth does, and is replaced by the final version."""

    root = "era5"

    def __init__(self, world: World, cache: ByteCache) -> None:
        since_1900 = (_ERA5_FIRST - datetime(1900, 1, 1, tzinfo=UTC)) // _HOUR
        hours = np.arange((_ERA5_END - _ERA5_FIRST) // _HOUR, dtype="<i8")
        super().__init__(world, cache, {"time": since_1900 + hours})

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

    def __init__(self, world: World, cache: ByteCache) -> None:
        days = np.arange(1, 367, dtype="<i8")
        super().__init__(world, cache, {"hour": np.arange(0, 24, 6, dtype="<i8"), "dayofyear": days})

    def attributes(self, now: datetime) -> dict[str, str]:
        return {}

    def reader(self, index: tuple[int, ...], now: datetime) -> tuple[object, ReadField] | None:
        valid_time = _LEAP_YEAR + timedelta(hours=6 * index[0], days=index[1])
        return index, partial(self._world.climatology, valid_time)


def _last_whole_day(last_hour: datetime) -> str:
    return f"{last_hour + _HOUR - timedelta(days=1):%Y-%m-%d}"
