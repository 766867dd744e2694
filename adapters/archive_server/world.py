"""What the archive shows: GFS by cycle (lead 0 is the analysis), reanalysis, and climatology of a day of a leap year.

None for a field means that this world does not hold it: the archive answers 404.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Literal, TypeVar

import numpy as np

from adapters.ecmwf_files import Decode, EcmwfFiles
from weather.faults import SourceGone
from weather.fields import Field
from weather.grids import Grid
from weather.planet.planet import Offset, Planet, Weather

ReanalysisVersion = Literal["era5", "era5t"]

PRELIMINARY_DELAY = timedelta(days=5)
FINAL_DELAY = timedelta(days=60)
_KEPT_OBJECTS = 256

T = TypeVar("T")


def kept(build: Callable[..., T]) -> Callable[..., T]:
    """Builds one object at a time, so that parallel requests build it once, and keeps the last ones."""
    lock, cached = Lock(), lru_cache(_KEPT_OBJECTS)(build)

    def get(*key: Hashable) -> T:
        with lock:
            return cached(*key)

    return get


class PlanetWorld:
    """A synthetic planet."""

    def __init__(self, seed: int, grid: Grid, levels: tuple[int, ...], incidents: tuple[Offset, ...] = ()) -> None:
        self.planet, self.grid, self.levels = Planet(seed, incidents), grid, levels

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


class AnalysesWorld:
    """Real analyses are the GFS analysis, the reanalysis and, averaged, the climatology; no forecasts are held."""

    def __init__(self, folder: Path, grid: Grid, levels: tuple[int, ...], decode: Decode) -> None:
        self._files, self.grid, self.levels = EcmwfFiles(folder, "an_", decode), grid, levels

    def gfs(self, cycle: datetime, lead_hours: int, variable: str, level: int) -> Field | None:
        return None if lead_hours else self._analysis(cycle, variable, level)

    def reanalysis(self, valid_time: datetime, version: ReanalysisVersion, variable: str, level: int) -> Field | None:
        return self._analysis(valid_time, variable, level)

    def climatology(self, valid_time: datetime, variable: str, level: int) -> Field | None:
        """The mean of all analyses, on every day."""
        held = [self._analysis(time, variable, level) for time in self._files.valid_times()]
        values = [field.values.astype(np.float64) for field in held if field is not None]
        return Field.of(self.grid, variable, level, valid_time, np.mean(values, axis=0)) if values else None

    def _analysis(self, valid_time: datetime, variable: str, level: int) -> Field | None:
        try:
            return self._files.field(self.grid, variable, level, valid_time)
        except SourceGone:
            return None


World = PlanetWorld | AnalysesWorld
