"""Reanalysis in the ARCO layout and climatology in the WeatherBench 2 layout, as Zarr v3."""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import numpy as np
import zarr
import zstandard
from zarr.core.buffer import Buffer
from zarr.storage import MemoryStore

from adapters.archive_server.world import FINAL_DELAY, PRELIMINARY_DELAY, World, kept
from adapters.zarr_source import ARCHIVE_NAMES
from weather.fields import Field
from weather.variables import VARIABLES

_ERA5_FIRST = datetime(2010, 1, 1, tzinfo=UTC)
_ERA5_END = datetime(2040, 1, 1, tzinfo=UTC)
_LEAP_YEAR = datetime(2000, 1, 1, tzinfo=UTC)
_TIME = {"units": "hours since 1900-01-01", "calendar": "proleptic_gregorian"}
_HOUR = timedelta(hours=1)


class ZarrStore(ABC):
    """A chunk holds all levels of one variable at one point of the leading axes; only coordinates are kept."""

    root: ClassVar[str]

    def __init__(self, world: World, leading: dict[str, np.ndarray], read: Callable[..., Field | None]) -> None:
        """`read` takes a point of the leading axes, a variable and a level."""
        self._levels = world.levels
        self._read = read
        self._packed = kept(self._pack)
        self._depth = len(leading)
        self._kept: dict[str, Buffer] = {}
        group = zarr.create_group(MemoryStore(self._kept))
        self._coordinates = leading | {
            "level": np.array(world.levels, dtype="<i8"),
            "latitude": world.grid.latitudes.astype("<f4"),
            "longitude": world.grid.longitudes.astype("<f4"),
        }
        for name, values in self._coordinates.items():
            attributes: dict[str, Any] = {**_TIME} if name == "time" else {}
            group.create_array(name, data=values, chunks=values.shape, dimension_names=[name], attributes=attributes)
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

    def attributes(self, now: datetime) -> dict[str, str]:
        """Of the group."""
        return {}

    @abstractmethod
    def point(self, index: tuple[int, ...], now: datetime) -> tuple[Any, ...] | None:
        """What is read at a point of the leading axes, None if nothing is there yet."""

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
        point = self.point(index[: self._depth], now) if inside else None
        return None if point is None else self._packed(variable, point)

    def _pack(self, variable: str, point: tuple[Any, ...]) -> bytes | None:
        levels = self._levels if VARIABLES[variable].has_levels else (0,)
        fields = [self._read(*point, variable, level) for level in levels]
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

    def __init__(self, world: World) -> None:
        since_1900 = (_ERA5_FIRST - datetime(1900, 1, 1, tzinfo=UTC)) // _HOUR
        hours = np.arange((_ERA5_END - _ERA5_FIRST) // _HOUR, dtype="<i8")
        super().__init__(world, {"time": since_1900 + hours}, world.reanalysis)

    def attributes(self, now: datetime) -> dict[str, str]:
        """Days whose 24 hours are all there."""
        return {
            "valid_time_start": f"{_ERA5_FIRST:%Y-%m-%d}",
            "valid_time_stop": _last_whole_day(now - FINAL_DELAY),
            "valid_time_stop_era5t": _last_whole_day(now - PRELIMINARY_DELAY),
        }

    def point(self, index: tuple[int, ...], now: datetime) -> tuple[Any, ...] | None:
        valid_time = _ERA5_FIRST + index[0] * _HOUR
        if now < valid_time + PRELIMINARY_DELAY:
            return None
        return valid_time, "era5t" if now < valid_time + FINAL_DELAY else "era5"


class ClimatologyStore(ZarrStore):
    root = "climatology"

    def __init__(self, world: World) -> None:
        axes = {"hour": np.arange(0, 24, 6, dtype="<i8"), "dayofyear": np.arange(1, 367, dtype="<i8")}
        super().__init__(world, axes, world.climatology)

    def point(self, index: tuple[int, ...], now: datetime) -> tuple[Any, ...] | None:
        return (_LEAP_YEAR + timedelta(hours=6 * index[0], days=index[1]),)


def _last_whole_day(last_hour: datetime) -> str:
    return f"{last_hour + _HOUR - timedelta(days=1):%Y-%m-%d}"
