"""Real spherical harmonics to total wavenumber 21 on the points of any grid."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from weather.grids import FULL_CIRCLE, Grid
from weather.planet.sines import cosine, sine

Array = npt.NDArray[np.float64]

WAVENUMBERS = 22
_ORDERS = np.arange(WAVENUMBERS)


@dataclass(frozen=True, eq=False)
class Basis:
    """Functions of one grid.

    Attributes:
        sine_latitude, cosine_latitude: columns (rows, 1).
        legendre: (kind, n, m, row) of the mean square 1 over the sphere; kinds are value, northward derivative,
            and eastward derivative over cos φ without the turn of the phase.
        cosines, sines: of m times longitude, (m, column).
    """

    sine_latitude: Array
    cosine_latitude: Array
    legendre: Array
    cosines: Array
    sines: Array


@lru_cache(maxsize=8)
def basis(grid: Grid) -> Basis:
    """Tables of a grid."""
    latitudes = [grid.latitude_first + grid.latitude_step * row for row in range(grid.latitude_count)]
    longitudes = [grid.longitude_first + grid.longitude_step * column for column in range(grid.longitude_count)]
    sine_latitude = np.array([sine(latitude, FULL_CIRCLE) for latitude in latitudes])
    cosine_latitude = np.array([cosine(latitude, FULL_CIRCLE) for latitude in latitudes])
    return Basis(
        sine_latitude[:, None],
        cosine_latitude[:, None],
        _legendre(sine_latitude, cosine_latitude),
        np.array([[cosine(m * longitude, FULL_CIRCLE) for longitude in longitudes] for m in range(WAVENUMBERS)]),
        np.array([[sine(m * longitude, FULL_CIRCLE) for longitude in longitudes] for m in range(WAVENUMBERS)]),
    )


def _legendre(sine_latitude: Array, cosine_latitude: Array) -> Array:
    ratio = _over_cosine(sine_latitude, cosine_latitude)
    value, north = ratio.copy(), np.zeros_like(ratio)
    value[:, 1:] *= cosine_latitude
    for n in range(1, WAVENUMBERS):
        north[n, 0] = np.sqrt(n * (n + 1) / 2) * value[n, 1]
        for m in range(1, n + 1):
            factor = np.sqrt((2 * n + 1) * (n * n - m * m) / (2 * n - 1))
            north[n, m] = factor * ratio[n - 1, m] - n * sine_latitude * ratio[n, m]
    return np.stack([value, north, _ORDERS[:, None] * ratio])


def _over_cosine(sine_latitude: Array, cosine_latitude: Array) -> Array:
    """Legendre functions divided by cos φ for m ≥ 1, which stays finite at the poles; undivided for m = 0."""
    ratio = np.zeros((WAVENUMBERS, WAVENUMBERS, len(sine_latitude)))
    ratio[0, 0] = 1.0
    ratio[1, 1] = np.sqrt(3.0)
    for m in range(2, WAVENUMBERS):
        ratio[m, m] = np.sqrt((2 * m + 1) / (2 * m)) * cosine_latitude * ratio[m - 1, m - 1]
    for m in range(WAVENUMBERS):
        for n in range(m + 1, WAVENUMBERS):
            ratio[n, m] = np.sqrt((4 * n * n - 1) / (n * n - m * m)) * sine_latitude * ratio[n - 1, m]
            if n > m + 1:
                fall = (2 * n + 1) * ((n - 1) ** 2 - m * m) / ((n * n - m * m) * (2 * n - 3))
                ratio[n, m] -= np.sqrt(fall) * ratio[n - 2, m]
    return ratio


def synthesise(coefficients: Array, grid: Grid) -> Array:
    """Sum the harmonics in ascending n, then ascending m.

    Args:
        coefficients: (stream, 2, n, m), of cos mλ and of sin mλ.
        grid: where to.

    Returns:
        (kind, stream, row, column): values, ∂/∂φ, and ∂/∂λ over cos φ, per radian.
    """
    tables = basis(grid)
    waves = np.zeros((3, len(coefficients), 2, WAVENUMBERS, grid.latitude_count))
    for n in range(WAVENUMBERS):
        waves[..., : n + 1, :] += (
            tables.legendre[:, None, None, n, : n + 1] * coefficients[None, :, :, n, : n + 1, None]
        )
    waves[2, :, 0], waves[2, :, 1] = waves[2, :, 1].copy(), -waves[2, :, 0]
    maps = np.zeros((3, len(coefficients), *grid.shape))
    for m in range(WAVENUMBERS):
        maps += waves[:, :, 0, m, :, None] * tables.cosines[m]
        maps += waves[:, :, 1, m, :, None] * tables.sines[m]
    return maps
