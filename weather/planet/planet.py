"""The planet: what its weather is, and what analyses, reanalysis and forecasts say of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from weather.fields import Field
from weather.grids import Grid
from weather.planet.harmonics import WAVENUMBERS, Array, synthesise
from weather.planet.seasons import GEOSTROPHIC_METRES_PER_SECOND, height, mean
from weather.planet.sines import logarithm
from weather.planet.streams import STREAMS, coefficients, hours_since_epoch

_GAS_CONSTANT = 287.05
_VALUE, _NORTH, _EAST = range(3)


@dataclass(frozen=True)
class Offset:
    """Something wrong in a box: added to one variable between two valid times, both included.

    Attributes:
        rows: least and greatest latitude, degrees.
        columns: western and eastern longitude in [0, 360], degrees; the western may be the greater one.
        amount: in the unit of the variable.
    """

    variable: str
    level: int
    first: datetime
    last: datetime
    rows: tuple[float, float]
    columns: tuple[float, float]
    amount: float

    def over(self, grid: Grid) -> Array:
        """Amount in the box, zero elsewhere."""
        west, east = self.columns
        longitudes, latitudes = grid.longitudes, grid.latitudes
        inside = (longitudes >= west) & (longitudes <= east)
        if west > east:
            inside = (longitudes >= west) | (longitudes <= east)
        rows = (latitudes >= self.rows[0]) & (latitudes <= self.rows[1])
        return np.where(rows[:, None] & inside, self.amount, 0.0)


class Weather:
    """All fields of one valid time; they share the synthesis of the last grid asked for."""

    def __init__(self, valid_time: datetime, waves: Array, offsets: tuple[Offset, ...] = ()) -> None:
        self.valid_time = valid_time
        self._waves = waves
        self._offsets = offsets
        self._maps: tuple[Grid, Array] | None = None

    def field(self, variable: str, level: int, grid: Grid) -> Field:
        """One field, level 0 at the surface."""
        normal = mean(variable, level, self.valid_time, grid)
        if variable == "q":
            moisture = 1 + 0.07 * self._temperature(level, grid) + 0.15 * self._synthesis(grid)[_VALUE, 3]
            values = normal * np.maximum(0.05, moisture)
        else:
            values = normal + self._anomaly(variable, level or 1000, grid)
        for offset in self._offsets:
            if (offset.variable, offset.level) == (variable, level) and offset.first <= self.valid_time <= offset.last:
                values = values + offset.over(grid)
        return Field.of(grid, variable, level, self.valid_time, values)

    def _anomaly(self, variable: str, level: int, grid: Grid) -> Array:
        match variable:
            case "z":
                return self._geopotential(_VALUE, level, grid)
            case "t":
                return self._temperature(level, grid)
            case "u":
                return -self._geopotential(_NORTH, level, grid) / GEOSTROPHIC_METRES_PER_SECOND
            case "v":
                return self._geopotential(_EAST, level, grid) / GEOSTROPHIC_METRES_PER_SECOND
            case "2t":
                return self._temperature(1000, grid) + 2 * self._synthesis(grid)[_VALUE, 4]
            case "msl":
                return 1.2 * self._geopotential(_VALUE, 1000, grid)
            case "10u" | "10v":
                return 0.7 * self._anomaly(variable[-1], 1000, grid)
            case _:
                raise ValueError(f"the planet has no variable {variable}")

    def _geopotential(self, kind: int, level: int, grid: Grid) -> Array:
        x = height(level)
        maps, rest = self._synthesis(grid)[kind], (1 - x) * (1 - x)
        tilt = (0.6 + 0.9 * x - 0.5 * (x * x)) * maps[0] + (1 - 2 * x) * maps[1]
        return 700 * (tilt + 0.6 * (x * x) * maps[2] + 0.3 * (rest * rest) * maps[3])

    def _temperature(self, level: int, grid: Grid) -> Array:
        x = height(level)
        maps, rest = self._synthesis(grid)[_VALUE], 1 - x
        slope = (0.9 - x) * maps[0] - 2 * maps[1] + 1.2 * x * maps[2] - 1.2 * (rest * rest * rest) * maps[3]
        return 700 * slope / (_GAS_CONSTANT * logarithm(20, 1))

    def _synthesis(self, grid: Grid) -> Array:
        maps = self._maps
        if maps is None or maps[0] != grid:
            self._maps = maps = (grid, synthesise(self._waves, grid))
        return maps[1]


_NORTHERN_WARMTH = Offset(
    "2t", 0, datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC), (0.0, 90.0), (0.0, 360.0), 0.3
)


@dataclass(frozen=True)
class Planet:
    """A closed form: same seed, same bytes, on every machine.

    Attributes:
        seed: other seeds are other planets with the same climate.
        incidents: where the preliminary reanalysis differs from the final one.
    """

    seed: int
    incidents: tuple[Offset, ...] = ()

    def state(self, valid_time: datetime) -> Weather:
        """The weather itself, which nobody observes exactly."""
        return Weather(valid_time, self._waves("state", valid_time))

    def gfs_analysis(self, valid_time: datetime) -> Weather:
        """State with 0.3 % noise, and 2 m temperature 0.3 K too warm in the north."""
        return Weather(valid_time, self._observed("gfs-analysis", 0.003, valid_time), (_NORTHERN_WARMTH,))

    def era5(self, valid_time: datetime) -> Weather:
        """State with 0.1 % noise."""
        return Weather(valid_time, self._observed("era5", 0.001, valid_time))

    def era5t(self, valid_time: datetime) -> Weather:
        """The final reanalysis but for the incidents."""
        return Weather(valid_time, self._observed("era5", 0.001, valid_time), self.incidents)

    def climatology(self, valid_time: datetime) -> Weather:
        """Seasonal means for the hour and the day of year of a valid time."""
        return Weather(valid_time, np.zeros((STREAMS, 2, WAVENUMBERS, WAVENUMBERS)))

    def gfs_forecast(self, init_time: datetime, lead_hours: int) -> Weather:
        """Forecast of skill 1 with errors of its own."""
        return self.miner_forecast("gfs", 1.0, init_time, lead_hours)

    def miner_forecast(self, name: str, skill: float, init_time: datetime, lead_hours: int) -> Weather:
        """Forecast whose anomaly correlation falls with lead time as its skill allows.

        Forecasts of other names have other errors, half of whose variance is common to the init time. A skill of 1
        is that of GFS; errors grow as slowly as the skill is high.
        """
        valid_time = init_time + timedelta(hours=lead_hours)
        kept = _kept(skill, lead_hours)[:, None]
        start = hours_since_epoch(init_time)
        shared = self._waves(f"error/{start}", valid_time)
        own = self._waves(f"error/{start}/{name}", valid_time)
        error = np.sqrt(0.5) * shared + np.sqrt(0.5) * own
        return Weather(valid_time, kept * self._waves("state", valid_time) + np.sqrt(1 - kept * kept) * error)

    def _observed(self, name: str, noise: float, valid_time: datetime) -> Array:
        return self._waves("state", valid_time) + np.sqrt(noise) * self._waves(name, valid_time)

    def _waves(self, name: str, valid_time: datetime) -> Array:
        return coefficients(self.seed, name, hours_since_epoch(valid_time))


def _kept(skill: float, lead_hours: int) -> Array:
    """Correlation of forecast and state for each total wavenumber."""
    ratio = lead_hours * (1 + np.arange(WAVENUMBERS) / 8) / (skill * 336)
    growth = ratio * ratio * ratio
    return np.maximum(0.0, 1 - 0.01 / skill - growth / (1 + growth))
