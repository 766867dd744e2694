"""A world of real analyses: what they hold is served as GFS analysis, reanalysis and, averaged, climatology."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import numpy as np

from adapters.archive_server.world import ReanalysisVersion, World
from adapters.ecmwf_files import Decode, EcmwfFiles
from weather.faults import SourceGone
from weather.fields import Field
from weather.grids import Grid


class AnalysesWorld(World):
    """No forecasts are held."""

    def __init__(self, folder: Path, grid: Grid, levels: tuple[int, ...], decode: Decode) -> None:
        super().__init__(grid, levels)
        self._files = EcmwfFiles(folder, "an_", decode)

    def gfs(self, cycle: datetime, lead_hours: int, variable: str, level: int) -> Field | None:
        """The analysis at lead 0."""
        return None if lead_hours else self._analysis(cycle, variable, level)

    def reanalysis(self, valid_time: datetime, version: ReanalysisVersion, variable: str, level: int) -> Field | None:
        """The same analysis, whatever the version."""
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
