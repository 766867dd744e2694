"""Gridded Zarr stores on a web server, read by value: no position in a store means anything by itself."""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr
from obstore.exceptions import BaseError, GenericError
from obstore.store import HTTPStore
from zarr.storage import ObjectStore

from adapters.gfs_index import Channel
from adapters.source_fields import microdegrees, positions_on
from weather.faults import SourceCorrupt, SourceFault, SourceThrottled, TruthNotYetAvailable
from weather.fields import short_name
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
TRUTH_WAIT = timedelta(hours=6)

Values = npt.NDArray[np.float32]


@dataclass(frozen=True)
class ZarrSource:
    """An opened store. `at` gives the position on each axis before level, latitude and longitude."""

    group: zarr.Group
    _coordinates: dict[str, npt.NDArray[Any]] = field(default_factory=dict)

    @classmethod
    def open(cls, url: str) -> ZarrSource:
        store = HTTPStore.from_url(url, client_options=_CLIENT, retry_config=_RETRY)
        return cls(zarr.open_group(ObjectStore(store, read_only=True), mode="r"))

    def coordinate(self, name: str) -> npt.NDArray[Any]:
        if name not in self._coordinates:
            self._coordinates[name] = np.asarray(self._array(name)[...])
        return self._coordinates[name]

    def position(self, axis: str, value: int) -> int | None:
        """Where the one point of the axis with this value stands."""
        found = np.flatnonzero(self.coordinate(axis) == value)
        if found.size > 1:
            raise SourceCorrupt(f"{axis} {value} stands {found.size} times in the store")
        return int(found[0]) if found.size else None

    def values(self, channels: Sequence[Channel], grid: Grid, at: Mapping[str, int]) -> dict[Channel, Values]:
        """The channels in the order of the grid; a chunk that is absent is no value at all."""
        degrees = (microdegrees(self.coordinate(name)) for name in ("latitude", "longitude"))
        points = np.ix_(*positions_on(grid, *degrees))
        found: dict[Channel, Values] = {}
        for variable in dict.fromkeys(variable for variable, _ in channels):
            layers = self._layers(variable, at)
            levels = [level for name, level in channels if name == variable]
            found |= {(variable, level): self._layer(layers, level)[points] for level in levels}
        return {channel: _present(channel, found[channel]) for channel in channels}

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

    def _layer(self, layers: Values, level: int) -> Values:
        if layers.ndim == 2:
            return layers
        position = self.position("level", level)
        if position is None:
            raise SourceCorrupt("level is not in the store", expected=f"{level} hPa")
        return layers[position]

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
def zarr_faults(url: str) -> Generator[None]:
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


def _present(channel: Channel, values: Values) -> Values:
    if absent := int(np.isnan(values).sum()):
        raise TruthNotYetAvailable(
            f"{short_name(*channel)} is not there", found=f"{absent} of {values.size} cells absent"
        )
    return values
