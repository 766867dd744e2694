"""From a GFS cycle to proved fields in the object store, and the words that name their bytes to miners."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from adapters.gfs_archive import GfsArchive, RawMessage
from adapters.gfs_index import Channel, RangePlan
from adapters.grib_decoder import GribDecoder
from adapters.object_store import ObjectStore
from protocol.messages import InputObject
from weather.field_sets import field_set_document
from weather.fields import Field
from weather.grids import Grid

SOURCE = "noaa-gfs"
VERSION = "gfs_analysis"


@dataclass(frozen=True)
class FetchedFields:
    """Fields and descriptors, both in the order of the channels asked for."""

    fields: tuple[Field, ...]
    objects: tuple[InputObject, ...]


async def fetch_fields(  # noqa: PLR0913 - three ports, and four words that say which fields
    archive: GfsArchive,
    decoder: GribDecoder,
    store: ObjectStore,
    grid: Grid,
    cycle: datetime,
    lead_hours: int,
    channels: Sequence[Channel],
) -> FetchedFields:
    """Fetch, decode, prove and keep both the raw messages and the fields."""
    plan = await archive.plan(cycle, lead_hours, channels)
    messages = await archive.fetch(plan)
    fields = await asyncio.to_thread(decoder.decode, messages, plan, grid)
    await asyncio.to_thread(_keep, store, messages, fields)
    objects = {
        channel: _describe(plan, message, channel) for message in messages for channel in message.planned.channels
    }
    return FetchedFields(tuple(fields), tuple(objects[channel] for channel in channels))


def keep_bundle(store: ObjectStore, grid_name: str, fields: Iterable[Field]) -> str:
    """Store the field-set document of the inputs; its SHA-256 is the bundle digest."""
    return store.put(field_set_document("inputs", VERSION, grid_name, fields))


def _keep(store: ObjectStore, messages: Iterable[RawMessage], fields: Iterable[Field]) -> None:
    for message in messages:
        store.put(message.data)
    for field in fields:
        store.put_field(field)


def _describe(plan: RangePlan, message: RawMessage, channel: Channel) -> InputObject:
    return InputObject(
        source=SOURCE,
        name=plan.name,
        init_time=plan.cycle,
        lead_time_hours=plan.lead_hours,
        variable=channel[0],
        level=channel[1] or None,
        offset=message.planned.offset,
        length=message.planned.length,
        sha256=message.sha256,
    )
