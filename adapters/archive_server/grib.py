"""One field as one GRIB2 message, as NCEP writes them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple

import eccodes
import numpy as np

from weather.fields import Field
from weather.grids import FULL_CIRCLE, Grid

STANDARD_GRAVITY = 9.80665


class Channel(NamedTuple):
    """A line of the index, its GRIB keys, and the field (variable, level) that fills it."""

    name: str
    level_text: str
    short_name: str
    type_of_level: str
    level: int
    source: tuple[str, int]


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
