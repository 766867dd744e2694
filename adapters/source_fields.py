"""What every source has to prove of a field before it is believed."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import numpy.typing as npt

from weather.faults import SourceCorrupt
from weather.fields import Field
from weather.grids import FULL_CIRCLE, Grid
from weather.variables import bounds

Microdegrees = npt.NDArray[np.int64]
Positions = tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]


def microdegrees(degrees: npt.ArrayLike) -> Microdegrees:
    return np.rint(np.asarray(degrees, dtype=np.float64) * 1e6).astype(np.int64)


def positions_on(grid: Grid, latitudes: Microdegrees, longitudes: Microdegrees) -> Positions:
    """Where each row and column of the grid stands in a source, by value; the points must be the grid's."""
    rows = _positions(latitudes, microdegrees(grid.latitudes), f"latitudes of grid {grid.name}")
    columns = _positions(longitudes % FULL_CIRCLE, microdegrees(grid.longitudes), f"longitudes of grid {grid.name}")
    return rows, columns


def bounded_field(grid: Grid, channel: tuple[str, int], valid_time: datetime, values: npt.ArrayLike) -> Field:
    """The canonical field: complete, finite and inside the bounds."""
    variable, level = channel
    field = Field.of(grid, variable, level, valid_time, values)
    least, greatest = bounds(variable, level)
    if infinite := field.values.size - int(np.isfinite(field.values).sum()):
        found = f"{infinite} of {field.values.size} cells"
        raise SourceCorrupt(f"{field.short_name} has values that are not finite", found=found)
    low, high = float(field.values.min()), float(field.values.max())
    if low < least or high > greatest:
        expected = f"{least}…{greatest} {field.unit}"
        raise SourceCorrupt(f"{field.short_name} is out of bounds", found=f"{low}…{high}", expected=expected)
    return field


def proved_field(grid: Grid, channel: tuple[str, int], valid_time: datetime, values: npt.ArrayLike) -> Field:
    """A bounded field that is not constant, as the weather never is."""
    field = bounded_field(grid, channel, valid_time, values)
    if field.values.min() == field.values.max():
        expected = "a standard deviation above 0"
        raise SourceCorrupt(f"{field.short_name} is constant", found=field.values.flat[0], expected=expected)
    return field


def _positions(found: Microdegrees, wanted: Microdegrees, axis: str) -> npt.NDArray[np.intp]:
    order = np.argsort(found)
    if not np.array_equal(found[order], np.sort(wanted)):
        raise SourceCorrupt(f"source has not the {axis}", found=_extent(found), expected=_extent(wanted))
    return order[np.searchsorted(found[order], wanted)]


def _extent(axis: Microdegrees) -> str:
    return f"{axis.size} from {axis[0] / 1e6} to {axis[-1] / 1e6}" if axis.size else "none"
