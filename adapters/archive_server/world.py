"""What the archive shows: any source of analyses, forecasts, reanalysis and climatology on one grid."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Literal

from weather.fields import Field
from weather.grids import Grid
from weather.planet.planet import Offset, Planet, Weather

ReanalysisVersion = Literal["era5", "era5t"]

PRELIMINARY_DELAY = timedelta(days=5)
FINAL_DELAY = timedelta(days=60)


class World(ABC):
    """None for a field means that this world does not hold it: the archive answers 404."""

    def __init__(self, grid: Grid, levels: tuple[int, ...]) -> None:
        self.grid = grid
        self.levels = levels

    @abstractmethod
    def gfs(self, cycle: datetime, lead_hours: int, variable: str, level: int) -> Field | None:
        """The analysis at lead 0, else the forecast."""

    @abstractmethod
    def reanalysis(
        self, valid_time: datetime, version: ReanalysisVersion, variable: str, level: int
    ) -> Field | None: ...

    @abstractmethod
    def climatology(self, valid_time: datetime, variable: str, level: int) -> Field | None:
        """For an hour of a day of some leap year."""

    def reanalysis_version(self, valid_time: datetime, now: datetime) -> ReanalysisVersion | None:
        """What the archive holds by now for a valid time."""
        if now < valid_time + PRELIMINARY_DELAY:
            return None
        return "era5t" if now < valid_time + FINAL_DELAY else "era5"


class PlanetWorld(World):
    def __init__(self, seed: int, grid: Grid, levels: tuple[int, ...], incidents: tuple[Offset, ...] = ()) -> None:
        super().__init__(grid, levels)
        self.planet = Planet(seed, incidents)

    def gfs(self, cycle: datetime, lead_hours: int, variable: str, level: int) -> Field:
        if lead_hours:
            return _weather(self.planet.gfs_forecast, cycle, lead_hours).field(variable, level, self.grid)
        return _weather(self.planet.gfs_analysis, cycle).field(variable, level, self.grid)

    def reanalysis(self, valid_time: datetime, version: ReanalysisVersion, variable: str, level: int) -> Field:
        source = self.planet.era5 if version == "era5" else self.planet.era5t
        return _weather(source, valid_time).field(variable, level, self.grid)

    def climatology(self, valid_time: datetime, variable: str, level: int) -> Field:
        return _weather(self.planet.climatology, valid_time).field(variable, level, self.grid)


@lru_cache(maxsize=2)
def _weather(source: Callable[..., Weather], *time: datetime | int) -> Weather:
    return source(*time)
