"""The canonical field: one variable at one level and one valid time on one grid."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property

import numpy as np
import numpy.typing as npt

from weather.grids import Grid
from weather.variables import check_field

Values = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Field:
    """A field in canonical form; make it with `Field.of`.

    Attributes:
        level: hectopascal, 0 at the surface.
        values: read-only C-contiguous float32 (rows north to south, columns eastward), no −0.0, in `unit`.
    """

    grid: Grid
    variable: str
    level: int
    valid_time: datetime
    unit: str
    values: Values

    def __post_init__(self) -> None:
        if self.valid_time.utcoffset() != timedelta(0):
            raise ValueError(f"valid time {self.valid_time} is not in UTC")
        if self.values.shape != self.grid.shape or self.values.dtype != np.float32:
            found = f"{self.values.dtype} values of shape {self.values.shape}"
            raise ValueError(f"{found} are not float32 values of shape {self.grid.shape}, grid {self.grid.name}")

    @classmethod
    def of(cls, grid: Grid, variable: str, level: int, valid_time: datetime, values: npt.ArrayLike) -> Field:
        """Copy values in the order of the grid, rounded once to float32; ValueError for another shape, field, zone."""
        with np.errstate(over="ignore"):
            canonical = np.ascontiguousarray(values, dtype=np.float32) + np.float32(0.0)
        canonical.setflags(write=False)
        return cls(grid, variable, level, valid_time, check_field(variable, level).unit, canonical)

    def __str__(self) -> str:
        return f"{self.short_name} ({self.unit}) of {self.valid_time:%Y-%m-%dT%H:%MZ} on {self.grid.name}"

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the values as little-endian float32 in C order."""
        return hashlib.sha256(self.values.astype("<f4", copy=False).data).hexdigest()

    @property
    def short_name(self) -> str:
        """`2t`, `z500`."""
        return short_name(self.variable, self.level)


def short_name(variable: str, level: int) -> str:
    """Name of a field for people: `2t`, `z500`."""
    return f"{variable}{level}" if level else variable
