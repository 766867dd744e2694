"""Small Zarr stores in the layouts of ERA5 and of its climatology, written by zarr itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import zarr

LONG_NAMES = {"2t": "2m_temperature", "t": "temperature", "u": "u_component_of_wind"}
LEVELS = (500, 850, 1000)
MEANS = {"2t": 280.0, "t": 260.0, "u": 5.0}


@dataclass
class ZarrLayout:
    """How a store lies on disk; values do not depend on it."""

    leading: Mapping[str, Sequence[int]]
    latitudes: Sequence[float] = (60.0, 0.0, -60.0)
    longitudes: Sequence[float] = (0.0, 90.0, 180.0, 270.0)
    levels: Sequence[int] = LEVELS
    axes: Sequence[str] | None = None
    zarr_format: Any = 3
    compressors: Any = "auto"
    fill_value: float = float("nan")
    attributes: Mapping[str, Any] = field(default_factory=dict)
    dtype: str = "float32"


def cell(variable: str, level: int, latitude: float, longitude: float, number: int) -> np.float32:
    """The value at a point, from its coordinates alone."""
    wave = np.sin(np.deg2rad(latitude)) + np.cos(np.deg2rad(longitude)) + 0.001 * level + 0.01 * number
    return np.float32(MEANS[variable] + 4 * wave)


def write_store(root: Path, layout: ZarrLayout, absent: Sequence[tuple[str, int]] = ()) -> zarr.Group:
    """All points of the leading axes but those `absent`: (variable, number in storage order)."""
    group = zarr.open_group(root, mode="w", zarr_format=layout.zarr_format)
    group.attrs.update(layout.attributes)
    coordinates = {**layout.leading, "level": layout.levels}
    for name, values in coordinates.items():
        group.create_array(name, data=np.array(values, dtype="int64")).attrs.update(
            {"units": "hours since 1900-01-01"} if name == "time" else {}
        )
    for name, values in (("latitude", layout.latitudes), ("longitude", layout.longitudes)):
        group.create_array(name, data=np.array(values, dtype="float32"))
    for variable in LONG_NAMES:
        _write_variable(group, variable, layout, [number for name, number in absent if name == variable])
    return group


def _write_variable(group: zarr.Group, variable: str, layout: ZarrLayout, absent: Sequence[int]) -> None:
    canonical = (*layout.leading, *(("level",) if variable != "2t" else ()), "latitude", "longitude")
    axes = [axis for axis in (layout.axes or canonical) if axis in canonical]
    values = _values(variable, layout).transpose([canonical.index(axis) for axis in axes])
    array = group.create_array(
        LONG_NAMES[variable],
        shape=values.shape,
        chunks=tuple(1 if axis in layout.leading else size for axis, size in zip(axes, values.shape, strict=True)),
        dtype=layout.dtype,
        fill_value=layout.fill_value,
        dimension_names=axes if layout.zarr_format == 3 else None,
        compressors=layout.compressors,
    )
    if layout.zarr_format == 2:
        array.attrs["_ARRAY_DIMENSIONS"] = axes
    counts = [len(points) for points in layout.leading.values()]
    for number, index in enumerate(np.ndindex(*counts)):
        if number not in absent:
            at = dict(zip(layout.leading, index, strict=True))
            where = tuple(at.get(axis, slice(None)) for axis in axes)
            array[where] = values[where]


def _values(variable: str, layout: ZarrLayout) -> np.ndarray:
    levels = layout.levels if variable != "2t" else (0,)
    shape = [len(points) for points in layout.leading.values()]
    points = [
        [[[cell(variable, p, y, x, n) for x in layout.longitudes] for y in layout.latitudes] for p in levels]
        for n in range(int(np.prod(shape)))
    ]
    values = np.array(points, dtype="float32").reshape(*shape, len(levels), len(layout.latitudes), -1)
    return values if variable != "2t" else values.squeeze(axis=-3)
