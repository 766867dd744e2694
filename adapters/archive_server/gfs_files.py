"""GFS files and their indexes, laid out as NOAA lays them out."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from adapters.archive_server.byte_cache import ByteCache
from adapters.archive_server.grib import Channel, encode
from adapters.archive_server.world import World
from weather.fields import Field

_FIRST_FILE = timedelta(hours=3, minutes=25)
_EACH_LEAD_HOUR = timedelta(seconds=20)
_INDEX_LAG = timedelta(seconds=30)
_LEVEL_CHANNELS = (("HGT", "gh", "z"), ("TMP", "t", "t"), ("SPFH", "q", "q"), ("UGRD", "u", "u"), ("VGRD", "v", "v"))


def channels(levels: tuple[int, ...]) -> list[Channel]:
    """The messages of a file in NOAA's order; `TMP:2 mb`, `MSLET` and `HGT:surface` are there to be confused."""
    ascending = sorted(levels)
    layers = [_level_channel(level, *names) for level in ascending for names in _LEVEL_CHANNELS]
    lowest_height = next(layer for layer in layers if layer.source == ("z", ascending[-1]))
    layers.remove(lowest_height)
    return [
        Channel("PRMSL", "mean sea level", "prmsl", "meanSea", 0, ("msl", 0)),
        Channel("TMP", "2 mb", "t", "isobaricInhPa", 2, ("t", ascending[0])),
        *layers,
        Channel("MSLET", "mean sea level", "mslet", "meanSea", 0, ("msl", 0)),
        lowest_height,
        Channel("HGT", "surface", "orog", "surface", 0, ("z", ascending[-1])),
        Channel("TMP", "2 m above ground", "2t", "heightAboveGround", 2, ("2t", 0)),
        Channel("UGRD", "10 m above ground", "10u", "heightAboveGround", 10, ("10u", 0)),
        Channel("VGRD", "10 m above ground", "10v", "heightAboveGround", 10, ("10v", 0)),
    ]


def _level_channel(level: int, name: str, short_name: str, variable: str) -> Channel:
    return Channel(name, f"{level} mb", short_name, "isobaricInhPa", level, (variable, level))


class GfsFiles:
    def __init__(self, world: World, product: str, bits: int, cache: ByteCache) -> None:
        self._world = world
        self._bits = bits
        self._cache = cache
        self._channels = channels(world.levels)
        self._path = re.compile(
            rf"gfs\.(\d{{8}}/\d{{2}})/atmos/gfs\.t(\d{{2}})z\.{re.escape(product)}\.f(\d{{3}})(\.idx)?"
        )

    def get(self, path: str, now: datetime) -> bytes | None:
        parts = self._path.fullmatch(path)
        cycle = _cycle(parts[1]) if parts else None
        if parts is None or cycle is None or cycle.hour != int(parts[2]):
            return None
        lead_hours, is_index = int(parts[3]), parts[4] is not None
        if now < appears(cycle, lead_hours, is_index) or not _is_published(lead_hours):
            return None
        data = self._cache.get(("gfs", cycle, lead_hours), lambda: self._build(cycle, lead_hours))
        if data is None or not is_index:
            return data
        return self._cache.get(("idx", cycle, lead_hours), lambda: self._index(data, cycle, lead_hours))

    def _build(self, cycle: datetime, lead_hours: int) -> bytes | None:
        held = self._held(cycle, lead_hours).items()
        return b"".join(encode(field, channel, cycle, self._bits) for channel, field in held) or None

    def _held(self, cycle: datetime, lead_hours: int) -> dict[Channel, Field]:
        fields = {channel: self._world.gfs(cycle, lead_hours, *channel.source) for channel in self._channels}
        return {channel: field for channel, field in fields.items() if field is not None}

    def _index(self, data: bytes, cycle: datetime, lead_hours: int) -> bytes:
        forecast = f"{lead_hours} hour fcst" if lead_hours else "anl"
        lines, offset = [], 0
        for number, channel in enumerate(self._held(cycle, lead_hours), start=1):
            lines.append(f"{number}:{offset}:d={cycle:%Y%m%d%H}:{channel.name}:{channel.level_text}:{forecast}:\n")
            offset += int.from_bytes(data[offset + 8 : offset + 16], "big")
        return "".join(lines).encode()


def appears(cycle: datetime, lead_hours: int, is_index: bool = False) -> datetime:
    """When a file is there; its index follows it."""
    return cycle + _FIRST_FILE + lead_hours * _EACH_LEAD_HOUR + (_INDEX_LAG if is_index else timedelta(0))


def _cycle(text: str) -> datetime | None:
    try:
        cycle = datetime.strptime(text, "%Y%m%d/%H").replace(tzinfo=UTC)
    except ValueError:
        return None
    return None if cycle.hour % 6 else cycle


def _is_published(lead_hours: int) -> bool:
    return lead_hours <= 120 or (lead_hours <= 384 and lead_hours % 3 == 0)
