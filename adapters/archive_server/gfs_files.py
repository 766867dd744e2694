"""GFS files and their indexes, laid out as NOAA lays them out; one field is one GRIB2 message, as NCEP writes them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import eccodes
import numpy as np

from adapters.archive_server.world import World, kept
from adapters.gfs_index import gfs_path
from adapters.grib_decoder import STANDARD_GRAVITY
from weather.fields import Field
from weather.grids import FULL_CIRCLE, Grid

_FIRST_FILE = timedelta(hours=3, minutes=25)
_EACH_LEAD_HOUR = timedelta(seconds=20)
_INDEX_LAG = timedelta(seconds=30)
_LEVEL_CHANNELS = (("HGT", "gh", "z"), ("TMP", "t", "t"), ("SPFH", "q", "q"), ("UGRD", "u", "u"), ("VGRD", "v", "v"))


class Channel(NamedTuple):
    """A line of the index, its GRIB keys, and the field (variable, level) that fills it."""

    name: str
    level_text: str
    short_name: str
    type_of_level: str
    level: int
    source: tuple[str, int]


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
    def __init__(self, world: World, product: str, bits: int) -> None:
        self._world = world
        self._product = product
        self._bits = bits
        self._channels = channels(world.levels)
        self._built = kept(self._build)

    def get(self, path: str, now: datetime) -> bytes | None:
        parts = re.fullmatch(r"gfs\.(\d{8}/\d{2})/.*\.f(\d{3})(\.idx)?", path)
        cycle = _cycle(parts[1]) if parts else None
        if parts is None or cycle is None:
            return None
        lead_hours, is_index = int(parts[2]), parts[3] is not None
        published = lead_hours <= 120 or (lead_hours <= 384 and lead_hours % 3 == 0)
        named = path.removesuffix(".idx") == gfs_path(self._product, cycle, lead_hours)
        if not (published and named) or now < appears(cycle, lead_hours, is_index):
            return None
        return self._built(cycle, lead_hours)[is_index] or None

    def _build(self, cycle: datetime, lead_hours: int) -> tuple[bytes, bytes]:
        """The file and its index, empty if the world holds nothing of them."""
        forecast = f"{lead_hours} hour fcst" if lead_hours else "anl"
        data, lines = bytearray(), list[str]()
        for channel in self._channels:
            field = self._world.gfs(cycle, lead_hours, *channel.source)
            if field is not None:
                named = f"{channel.name}:{channel.level_text}:{forecast}"
                lines.append(f"{len(lines) + 1}:{len(data)}:d={cycle:%Y%m%d%H}:{named}:\n")
                data += encode(field, channel, cycle, self._bits)
        return bytes(data), "".join(lines).encode()


def appears(cycle: datetime, lead_hours: int, is_index: bool = False) -> datetime:
    """When a file is there; its index follows it."""
    return cycle + _FIRST_FILE + lead_hours * _EACH_LEAD_HOUR + (_INDEX_LAG if is_index else timedelta(0))


def _cycle(text: str) -> datetime | None:
    try:
        cycle = datetime.strptime(text, "%Y%m%d/%H").replace(tzinfo=UTC)
    except ValueError:
        return None
    return None if cycle.hour % 6 else cycle


def encode(field: Field, channel: Channel, cycle: datetime, bits: int) -> bytes:
    """Complex packing with spatial differencing; geopotential goes out as height in metres."""
    lead_hours = (field.valid_time - cycle) // timedelta(hours=1)
    keys = {"tablesVersion": 2, "centre": "kwbc", "shapeOfTheEarth": 6, **_grid_keys(field.grid)}
    keys |= {"significanceOfReferenceTime": 1, "dataDate": int(f"{cycle:%Y%m%d}"), "dataTime": cycle.hour * 100}
    keys |= {"typeOfProcessedData": "fc" if lead_hours else "an", "typeOfGeneratingProcess": 2 if lead_hours else 0}
    keys |= {"generatingProcessIdentifier": 96 if lead_hours else 81, "forecastTime": lead_hours}
    keys |= {"shortName": channel.short_name, "typeOfLevel": channel.type_of_level, "level": channel.level}
    keys |= {"packingType": "grid_complex_spatial_differencing", "bitsPerValue": bits}
    values = field.values.astype(np.float64)
    if field.variable == "z":
        values = values / STANDARD_GRAVITY
    handle = eccodes.codes_grib_new_from_samples("regular_ll_pl_grib2")
    try:
        for key, value in keys.items():
            eccodes.codes_set(handle, key, value)
        eccodes.codes_set_values(handle, values.ravel())
        return eccodes.codes_get_message(handle)
    finally:
        eccodes.codes_release(handle)


def _grid_keys(grid: Grid) -> dict[str, int]:
    east = grid.longitude_first + grid.longitude_step * (grid.longitude_count - 1)
    return {
        "Ni": grid.longitude_count,
        "Nj": grid.latitude_count,
        "latitudeOfFirstGridPoint": grid.latitude_first,
        "longitudeOfFirstGridPoint": grid.longitude_first,
        "latitudeOfLastGridPoint": grid.latitude_first + grid.latitude_step * (grid.latitude_count - 1),
        "longitudeOfLastGridPoint": east % FULL_CIRCLE,
        "iDirectionIncrement": grid.longitude_step,
        "jDirectionIncrement": -grid.latitude_step,
    }
