"""ERA5 from a Zarr store in the ARCO layout."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, time, timedelta

from adapters.gfs_index import Channel
from adapters.source_fields import proved_field
from adapters.zarr_source import TRUTH_WAIT, ZarrSource, zarr_faults
from weather.faults import SourceCorrupt, TruthNotYetAvailable
from weather.fields import Field
from weather.grids import Grid

_EPOCH = datetime(1900, 1, 1, tzinfo=UTC)
_TIME_UNITS = ("hours since 1900-01-01", "hours since 1900-01-01 00:00:00")


class ZarrReanalysis:
    """Blocking; call from async code with `asyncio.to_thread`."""

    def __init__(self, url: str) -> None:
        self._url = url

    def fetch(self, valid_time: datetime, grid: Grid, channels: Sequence[Channel]) -> tuple[str, list[Field]]:
        """The version (`era5` or `era5t`) and the proved fields; ready is what is complete, not what is promised."""
        with zarr_faults(self._url):
            source = ZarrSource.open(self._url)
            values = source.values(channels, grid, {"time": _time_position(source, valid_time)})
            fields = [proved_field(grid, channel, valid_time, values[channel]) for channel in channels]
            if len({field.digest for field in fields}) != len(fields):
                raise SourceCorrupt(f"two fields of {valid_time:%Y-%m-%dT%HZ} are the same")
            return _version(source, valid_time), fields


def _time_position(source: ZarrSource, valid_time: datetime) -> int:
    units = source.group["time"].attrs.get("units")
    if units not in _TIME_UNITS:
        raise SourceCorrupt("time is counted otherwise", found=units, expected=_TIME_UNITS[0])
    position = source.position("time", (valid_time - _EPOCH) // timedelta(hours=1))
    if position is None:
        raise TruthNotYetAvailable(f"{valid_time:%Y-%m-%dT%HZ} is not in the store", retry_after=TRUTH_WAIT)
    return position


def _version(source: ZarrSource, valid_time: datetime) -> str:
    """`era5` up to the store's own mark (a date means the whole day), else `era5t`."""
    mark = source.group.attrs.get("valid_time_stop")
    if not isinstance(mark, str):
        return "era5t"
    stop = datetime.fromisoformat(mark)
    if len(mark) == len("2026-11-22"):
        stop = datetime.combine(stop, time.max)
    return "era5" if valid_time <= stop.replace(tzinfo=stop.tzinfo or UTC) else "era5t"
