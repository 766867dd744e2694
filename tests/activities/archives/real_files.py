"""The real 2.5° GFS file of 2011 and other samples, and what tests make of them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import eccodes
import httpx
import numpy as np

from adapters.gfs_archive import GfsArchive, RawMessage
from adapters.gfs_index import Channel, PlannedMessage, RangePlan, gfs_path
from adapters.grib_decoder import DecodedMessage, GribDecoder
from tests.fixed_clock import FixedClock
from weather.grids import Grid

GFS_2P5 = "gfs/gfs_20110110T12_f120_2p5.grib2"
CYCLE, LEAD = datetime(2011, 1, 10, 12, tzinfo=UTC), 120
SOON_AFTER = CYCLE + timedelta(hours=5)
PRODUCT = "pgrb2.2p50"
PATH = gfs_path(PRODUCT, CYCLE, LEAD)
ALL_LEVELS = [10, 20, 30, 50, 70, *range(100, 950, 50), 925, 950, 975, 1000]
WINDS: list[Channel] = [(name, level) for level in ALL_LEVELS for name in ("u", "v")] + [("10u", 0), ("10v", 0)]
SMALL: list[Channel] = [("msl", 0), ("t", 500), ("u", 500), ("v", 500), ("z", 850), ("2t", 0)]
QUARTER = Grid("0p25", 90_000_000, -250_000, 721, 0, 250_000, 1440)
ONE = Grid("1p0", 90_000_000, -1_000_000, 181, 0, 1_000_000, 360)
COARSE = Grid("2p5", 90_000_000, -2_500_000, 73, 0, 2_500_000, 144)
ATLANTIC = Grid("atlantic", 80_000_000, -10_000_000, 7, 290_000_000, 10_000_000, 12)
T500 = [
    "pairs/persist_t500_aifs_20260310/t500_20260310T00_aifs-ens-cf_f000.grib2",
    "pairs/persist_t500_aifs_20260310/t500_20260310T12_aifs-single_f000.grib2",
]


@dataclass(frozen=True)
class CoarseFile:
    """The 2.5° file: its messages, and which of them and which field stands under (name, level, type of level)."""

    messages: list[bytes]
    fields: list[DecodedMessage]
    message_of: dict[tuple[str, int, str], bytes]

    def message(self, name: str, level: int, kind: str = "isobaricInhPa") -> bytes:
        return self.message_of[name, level, kind]


def archive_of(client: httpx.AsyncClient, *urls: str, at: datetime = SOON_AFTER) -> GfsArchive:
    archive = GfsArchive(urls, PRODUCT, client, FixedClock(at))
    archive.call_seconds = 2
    return archive


def framed(data: bytes, channels: tuple[Channel, ...], fields: int = 1) -> RawMessage:
    return RawMessage(PlannedMessage(0, len(data), fields, channels), data, "http://archive.test/file")


def plan_of(*messages: RawMessage, cycle: datetime = CYCLE, lead_hours: int = 120) -> RangePlan:
    channels = tuple(channel for message in messages for channel in message.planned.channels)
    return RangePlan(cycle, lead_hours, "file", 0, channels, tuple(message.planned for message in messages))


def encoded(template: bytes, values: np.ndarray | None = None, **keys: str | float) -> bytes:
    """The template with other keys, then with other values."""
    handle = eccodes.codes_new_from_message(template)
    try:
        for name, value in keys.items():
            eccodes.codes_set(handle, name, value)
        if values is not None:
            eccodes.codes_set_values(handle, values.ravel())
        return eccodes.codes_get_message(handle)
    finally:
        eccodes.codes_release(handle)


def one_field(decoder: GribDecoder, data: bytes) -> DecodedMessage:
    (decoded,) = decoder.decode_any(data)
    return decoded


def find_field(fields: list[DecodedMessage], name: str, level: int, kind: str = "isobaricInhPa") -> DecodedMessage:
    (found,) = [
        field
        for field in fields
        if (field.keys["shortName"], field.keys["level"], field.keys["typeOfLevel"]) == (name, level, kind)
    ]
    return found
