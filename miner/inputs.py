"""What the miners of a process read; what one of them has fetched and proved serves all others."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from operator import attrgetter

from adapters.clock import Clock
from adapters.gfs_archive import GfsArchive, archive_client
from adapters.grib_decoder import GribDecoder
from adapters.inputs import fetch_fields, keep_bundle
from adapters.object_store import ObjectStore, load_field_set, storage_faults
from adapters.zarr_source import fetch_climatology
from miner.forecasts import Fields
from miner.settings import MinerSettings
from protocol.messages import ForecastRequestData, InputObject
from weather.faults import SourceCorrupt
from weather.fields import Field
from weather.grids import Grid

Channels = Sequence[tuple[str, int]]


class Library:
    """Blocking; may be used from many threads at once."""

    def __init__(self, settings: MinerSettings, decoder: GribDecoder, clock: Clock) -> None:
        self._settings, self._decoder, self._clock = settings, decoder, clock
        self._objects = ObjectStore(settings.data_dir / "objects")
        self._index = settings.data_dir / "inputs"
        self._fetching = threading.Lock()
        self.decode = decoder.decode_any

    def fetch(self, call: ForecastRequestData, grid: Grid) -> int:
        """Have the inputs of a call here, each from the very bytes that the call names; their number."""
        objects, index = call.gfs_init_metadata.objects, self._index / f"{call.input_data_hash}.json"
        with self._fetching:
            if not index.exists():
                sets = asyncio.run(self._fetch(objects, grid))
                with storage_faults():
                    self._index.mkdir(parents=True, exist_ok=True)
                    index.with_suffix(".part").write_text(json.dumps(sets), encoding="utf-8")
                    os.replace(index.with_suffix(".part"), index)
        return len(objects)

    def inputs(self, input_data_hash: str, grid: Grid) -> Mapping[datetime, Fields]:
        """The fetched fields by valid time."""
        with storage_faults():
            sets = json.loads((self._index / f"{input_data_hash}.json").read_bytes())
        return {
            datetime.fromisoformat(valid_time): _values(load_field_set(self._objects, grid, sha256).values())
            for valid_time, sha256 in sets.items()
        }

    def climatology(self, valid_time: datetime, grid: Grid, channels: Channels) -> Fields:
        """The mean fields of the hour and the day of the year."""
        return _values(fetch_climatology(self._settings.climatology_url, valid_time, grid, channels))

    def gfs(self, init_time: datetime, lead_hours: int, grid: Grid, channels: Channels) -> Fields:
        """The public forecast; nobody else asks for it, so it is not kept."""

        async def fields() -> list[Field]:
            async with archive_client() as client:
                archive = GfsArchive(*self._archive, client, self._clock)
                plan = await archive.plan(init_time, lead_hours, channels)
                messages = await archive.fetch(plan)
            return await asyncio.to_thread(self._decoder.decode, messages, plan, grid)

        return _values(asyncio.run(fields()))

    async def _fetch(self, objects: Iterable[InputObject], grid: Grid) -> dict[str, str]:
        """The field set of each valid time."""
        sets = {}
        async with archive_client() as client:
            archive = GfsArchive(*self._archive, client, self._clock)
            for (cycle, lead_hours), group in groupby(objects, key=attrgetter("init_time", "lead_time_hours")):
                named = list(group)
                channels = [(one.variable, one.level or 0) for one in named]
                fetched = await fetch_fields(archive, self._decoder, self._objects, grid, cycle, lead_hours, channels)
                _require_same(fetched.objects, named)
                valid_time = cycle + timedelta(hours=lead_hours)
                sets[valid_time.isoformat()] = keep_bundle(self._objects, grid.name, fetched.fields)
        return sets

    @property
    def _archive(self) -> tuple[list[str], str]:
        return [self._settings.gfs_base_url], self._settings.gfs_product


def _values(fields: Iterable[Field]) -> Fields:
    return {(field.variable, field.level): field.values for field in fields}


def _require_same(found: Iterable[InputObject], named: Iterable[InputObject]) -> None:
    for mine, theirs in zip(found, named, strict=True):
        if mine != theirs:
            raise SourceCorrupt("input is not the one of the call", found=mine, expected=theirs)
