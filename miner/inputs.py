"""What the miners of a process read; what one of them has fetched and proved serves all others."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from itertools import groupby
from pathlib import Path

import httpx

from adapters.climatology import ZarrClimatology
from adapters.clock import Clock
from adapters.gfs_archive import GfsArchive, archive_client
from adapters.grib_decoder import GribDecoder
from adapters.inputs import fetch_fields
from adapters.object_store import LocalObjects, storage_faults
from miner.forecasts import Fields
from protocol.messages import ForecastRequestData, InputObject
from weather.faults import SourceCorrupt
from weather.fields import Field
from weather.grids import Grid

Channels = Sequence[tuple[str, int]]

KEPT_CELLS = 10_000
WAIT_SECONDS = 5


@dataclass(frozen=True)
class Archives:
    """Where the public data are."""

    gfs_base_url: str
    gfs_product: str
    climatology: ZarrClimatology
    decoder: GribDecoder
    clock: Clock

    def gfs(self, client: httpx.AsyncClient) -> GfsArchive:
        return GfsArchive([self.gfs_base_url], self.gfs_product, client, self.clock)


class Library:
    """Blocking; may be used from many threads at once."""

    def __init__(self, archives: Archives, folder: Path) -> None:
        self._archives = archives
        self._objects = LocalObjects(folder / "objects")
        self._index = folder / "inputs"
        self._fetching, self._reading = threading.Lock(), threading.Lock()
        self.decode = archives.decoder.decode_any
        self._slices = lru_cache(maxsize=128)(self._slice)

    def fetch(self, call: ForecastRequestData, grid: Grid, heartbeat: Callable[..., None]) -> int:
        """Have the inputs of a call here, each from the very bytes that the call names; their number."""
        objects = call.gfs_init_metadata.objects
        path = self._index / f"{call.input_data_hash}.json"
        with self._turn(heartbeat):
            if not path.exists():
                _write(path, asyncio.run(self._fetch(objects, grid, heartbeat)))
        return len(objects)

    def inputs(self, input_data_hash: str, grid: Grid) -> Mapping[datetime, Fields]:
        """The fetched fields by valid time."""
        found: dict[datetime, dict[tuple[str, int], Field]] = {}
        with storage_faults():
            index = json.loads((self._index / f"{input_data_hash}.json").read_bytes())
        for variable, level, time, digest in index:
            valid_time = datetime.fromisoformat(time)
            field = self._objects.get_field(grid, variable, level, valid_time, digest)
            found.setdefault(valid_time, {})[variable, level] = field
        return {time: _values(fields.values()) for time, fields in found.items()}

    def climatology(self, valid_time: datetime, grid: Grid, channels: Channels) -> Fields:
        """The mean fields of the hour and the day of the year; those of large grids are not kept."""
        if grid.latitude_count * grid.longitude_count > KEPT_CELLS:
            return self._slice(valid_time, grid, channels)
        with self._reading:
            return self._slices(valid_time, grid, tuple(channels))

    def gfs_forecast(self, init_time: datetime, lead_hours: int, grid: Grid, channels: Channels) -> Fields:
        """The public forecast; nobody else asks for it, so it is not kept."""
        return _values(asyncio.run(self._forecast(init_time, lead_hours, grid, channels)))

    @contextmanager
    def _turn(self, heartbeat: Callable[..., None]) -> Generator[None]:
        while not self._fetching.acquire(timeout=WAIT_SECONDS):
            heartbeat(0, 0)
        try:
            yield
        finally:
            self._fetching.release()

    async def _fetch(self, objects: Iterable[InputObject], grid: Grid, heartbeat: Callable[..., None]) -> list[Field]:
        fields: list[Field] = []
        async with archive_client() as client:
            archive, decoder = self._archives.gfs(client), self._archives.decoder
            for (cycle, lead_hours), group in groupby(objects, key=lambda one: (one.init_time, one.lead_time_hours)):
                named = list(group)
                channels = [(one.variable, one.level or 0) for one in named]
                fetched = await fetch_fields(
                    archive, decoder, self._objects, grid, cycle, lead_hours, channels, heartbeat
                )
                _require_same(fetched.objects, named)
                fields += fetched.fields
        return fields

    async def _forecast(self, init_time: datetime, lead_hours: int, grid: Grid, channels: Channels) -> list[Field]:
        async with archive_client() as client:
            archive = self._archives.gfs(client)
            plan = await archive.plan(init_time, lead_hours, channels)
            messages = await archive.fetch(plan)
            return await asyncio.to_thread(self._archives.decoder.decode, messages, plan, grid)

    def _slice(self, valid_time: datetime, grid: Grid, channels: Channels) -> Fields:
        return _values(self._archives.climatology.fetch(valid_time, grid, channels))


def _values(fields: Iterable[Field]) -> Fields:
    return {(field.variable, field.level): field.values for field in fields}


def _require_same(found: Iterable[InputObject], named: Iterable[InputObject]) -> None:
    for mine, theirs in zip(found, named, strict=True):
        if mine != theirs:
            raise SourceCorrupt("input is not the one of the call", found=mine, expected=theirs)


def _write(path: Path, fields: Iterable[Field]) -> None:
    index = [[field.variable, field.level, field.valid_time.isoformat(), field.digest] for field in fields]
    temporary = path.with_suffix(".part")
    with storage_faults():
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps(index), encoding="utf-8")
        os.replace(temporary, path)
