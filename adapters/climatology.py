"""Climatology from a Zarr store in the layout of WeatherBench 2."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from adapters.gfs_index import Channel
from adapters.source_fields import bounded_field
from adapters.zarr_source import ZarrSource, zarr_faults
from weather.faults import SourceCorrupt, TruthNotYetAvailable
from weather.fields import Field
from weather.grids import Grid


class ZarrClimatology:
    """Blocking; call from async code with `asyncio.to_thread`."""

    def __init__(self, url: str) -> None:
        self._url = url

    def fetch(self, valid_time: datetime, grid: Grid, channels: Sequence[Channel]) -> list[Field]:
        """The slice of the hour and of the day of the year in the year of the valid time."""
        wanted = {"hour": valid_time.hour, "dayofyear": valid_time.timetuple().tm_yday}
        with zarr_faults(self._url):
            source = ZarrSource.open(self._url)
            at = {axis: _position(source, axis, value) for axis, value in wanted.items()}
            try:
                values = source.values(channels, grid, at)
            except TruthNotYetAvailable as fault:
                raise SourceCorrupt(f"climatology has holes: {fault}") from fault
            return [bounded_field(grid, channel, valid_time, values[channel]) for channel in channels]


def _position(source: ZarrSource, axis: str, value: int) -> int:
    position = source.position(axis, value)
    if position is None:
        raise SourceCorrupt(f"climatology has no {axis} {value}")
    return position
