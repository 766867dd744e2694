"""Grids as integers of microdegrees, and the exact weight of a cell."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from decimal import Context, Decimal, localcontext
from fractions import Fraction
from functools import lru_cache
from importlib.resources.abc import Traversable
from itertools import pairwise
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from weather.faults import ConfigurationInvalid

FULL_CIRCLE = 360_000_000
POLE = 90_000_000

_PI = Decimal("3.14159265358979323846264338327950288419716939937510582097494459230781640628620899")
_NEGLIGIBLE = Decimal("1e-58")

Vector = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Grid:
    """A regular grid: rows north to south, columns eastward, both in microdegrees.

    Raises:
        ValueError: rows do not run from north to south, or columns do not run eastward at most once round.
    """

    name: str
    latitude_first: int
    latitude_step: int
    latitude_count: int
    longitude_first: int
    longitude_step: int
    longitude_count: int

    def __post_init__(self) -> None:
        last = self.latitude_first + self.latitude_step * (self.latitude_count - 1)
        if self.latitude_step >= 0 or self.latitude_count < 1 or self.latitude_first > POLE or last < -POLE:
            raise ValueError(f"rows of grid {self.name} must run from north to south between the poles")
        if self.longitude_step <= 0 or self.longitude_count < 1 or not 0 <= self.longitude_first < FULL_CIRCLE:
            raise ValueError(f"columns of grid {self.name} must run eastward from 0 to below 360 degrees")
        if self.longitude_step * self.longitude_count > FULL_CIRCLE:
            raise ValueError(f"columns of grid {self.name} go round the sphere more than once")

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns)."""
        return self.latitude_count, self.longitude_count

    @property
    def latitudes(self) -> Vector:
        """Degrees north of the rows, from north to south."""
        return (self.latitude_first + self.latitude_step * np.arange(self.latitude_count, dtype=np.int64)) / 1e6

    @property
    def longitudes(self) -> Vector:
        """Degrees east of the columns in [0, 360), in storage order: 350, 0, 10 where a grid crosses Greenwich."""
        offsets = self.longitude_step * np.arange(self.longitude_count, dtype=np.int64)
        return ((self.longitude_first + offsets) % FULL_CIRCLE) / 1e6

    @property
    def row_weights(self) -> Vector:
        """Share of the sphere that one cell of each row covers; read-only."""
        return _row_weights(self)

    @property
    def total_weight(self) -> float:
        """Correctly rounded sum of the weights of all cells; exactly 1.0 on a global grid."""
        return _total_weight(self)

    @property
    def weights_sha256(self) -> str:
        """SHA-256 of the row weights as little-endian float64."""
        return hashlib.sha256(self.row_weights.astype("<f8").tobytes()).hexdigest()


def grid_document(grid_name: str, kind: Literal["rules", "layout"], shipped: Traversable, extra: Path | None) -> bytes:
    """`<grid>.<kind>.json` of the extra folder, else the shipped one; ConfigurationInvalid, which names the known."""
    known = {entry.name.removesuffix(".json"): entry for entry in shipped.iterdir()}
    for path in extra.glob(f"*.{kind}.json") if extra else ():
        known[path.name.removesuffix(f".{kind}.json")] = path
    if grid_name not in known:
        raise ConfigurationInvalid(f"no {kind} for this grid", found=grid_name, expected=", ".join(sorted(known)))
    return known[grid_name].read_bytes()


def decimal_sine(angle: Decimal) -> Decimal:
    """Sine of radians to 58 digits, by its Taylor series in the context of the caller."""
    term = total = angle
    order = 1
    while abs(term) > _NEGLIGIBLE:
        term *= -angle * angle / ((order + 1) * (order + 2))
        total += term
        order += 2
    return total


@lru_cache(maxsize=32)
def _row_weights(grid: Grid) -> Vector:
    step = -grid.latitude_step
    north = 2 * grid.latitude_first + step
    edges = [max(-2 * POLE, min(2 * POLE, north - 2 * step * row)) for row in range(grid.latitude_count + 1)]
    with localcontext(Context(prec=60)):
        bands = pairwise([decimal_sine(edge * _PI / FULL_CIRCLE) for edge in edges])
        exact = [(upper - lower) / (2 * grid.longitude_count) for upper, lower in bands]
    weights = np.array([float(weight) for weight in exact], dtype=np.float64)
    weights.setflags(write=False)
    return weights


@lru_cache(maxsize=32)
def _total_weight(grid: Grid) -> float:
    return float(grid.longitude_count * sum(Fraction(float(weight)) for weight in grid.row_weights))
