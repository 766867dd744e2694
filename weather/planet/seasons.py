"""The mean of every field: the climatology `planet-1`, in closed form."""

from __future__ import annotations

from datetime import datetime
from functools import cache

import numpy as np

from weather.grids import Grid
from weather.planet.harmonics import Array, basis
from weather.planet.sines import cosine, logarithm, sine

GEOSTROPHIC_METRES_PER_SECOND = 1e-4 * 6_371_000.0
# 700 hPa stands lower than in nature: five standard deviations of z stay inside its bounds.
_GEOPOTENTIAL = {50: 201600, 100: 158800, 150: 133600, 200: 115700, 250: 101600, 300: 89900, 400: 70500}
_GEOPOTENTIAL |= {500: 54650, 600: 41200, 700: 28500, 850: 14290, 925: 7460, 1000: 1080}
_TEMPERATURE = {50: 212, 100: 205, 150: 212, 200: 217, 250: 221, 300: 228, 400: 242}
_TEMPERATURE |= {500: 254, 600: 263, 700: 270, 850: 279, 925: 284, 1000: 288}


@cache
def height(level: int) -> float:
    """Return ln(1000/p)/ln 20: 0 at 1000 hPa, 1 at 50 hPa."""
    return logarithm(1000, level) / logarithm(20, 1)


def mean(variable: str, level: int, valid_time: datetime, grid: Grid) -> Array:
    """Seasonal mean of a field for an hour and day of year, level 0 at the surface; it broadcasts against the grid."""
    tables = basis(grid)
    p = level or 1000
    match variable:
        case "2t":
            return _temperature(1000, valid_time, grid) + 4 * tables.cosine_latitude * _noon(valid_time, grid)
        case "t":
            return _temperature(p, valid_time, grid)
        case "z":
            return _GEOPOTENTIAL[p] + _tilt(grid) * _slope(p)
        case "u":
            sine_twice = 2 * tables.sine_latitude * tables.cosine_latitude
            return np.abs(sine_twice) * _slope(p) / GEOSTROPHIC_METRES_PER_SECOND
        case "10u":
            return 0.7 * mean("u", 1000, valid_time, grid)
        case "q":
            ratio = p / 1000
            return 0.014 * (ratio * ratio * ratio) * (tables.cosine_latitude * tables.cosine_latitude) + 2e-6
        case "msl":
            return np.full((1, 1), 101_300.0)
        case _:
            return np.zeros((1, 1))


def _tilt(grid: Grid) -> Array:
    sine_latitude = basis(grid).sine_latitude
    return 1 / 3 - sine_latitude * sine_latitude


def _slope(level: int) -> float:
    x = height(level)
    return 1500 + 34_000 * (x * (1 - x))


def _temperature(level: int, valid_time: datetime, grid: Grid) -> Array:
    x = height(level)
    season = cosine(4 * (valid_time.timetuple().tm_yday - 200), 1461)
    wave = 12 * (1 - x) * basis(grid).sine_latitude * season
    return _TEMPERATURE[level] + 45 * (1 - 1.3 * x) * _tilt(grid) + wave


def _noon(valid_time: datetime, grid: Grid) -> Array:
    """Cosine of the local hour angle, greatest at 15 h local time."""
    tables, hour = basis(grid), valid_time.hour - 15
    return tables.cosines[1] * cosine(hour, 24) - tables.sines[1] * sine(hour, 24)
