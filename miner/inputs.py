"""What the miners of a process read; what one of them has fetched and proved serves all others."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from itertools import groupby
from pathlib import Path

import httpx

from adapters.clock import Clock
from adapters.gfs_archive import GfsArchive, archive_client
from adapters.grib_decoder import GribDecoder
from adapters.inputs import fetch_fields
from adapters.object_store import ObjectStore, storage_faults
from adapters.zarr_source import fetch_climatology
from miner.forecasts import Fields, Forecaster
from miner.settings import MinerSettings
from protocol.messages import ForecastRequestData, InputObject
from weather.faults import SourceCorrupt
from weather.fields import Field
from weather.grids import Grid

Channels = Sequence[tuple[str, int]]

WAIT_SECONDS = 5


class Library:
    """Blocking; may be used from many threads at once."""

    def __init__(self, settings: MinerSettings, decoder: GribDecoder, clock: Clock) -> None:
        self._settings, self._decoder, self._clock = settings, decoder, clock
        self._objects = ObjectStore(settings.data_dir / "objects")
        self._index = settings.data_dir / "inputs"
        self._fetching = threading.Lock()
        self.decode = decoder.decode_any

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
        """The mean fields of the hour and the day of the year."""
        return _values(fetch_climatology(self._settings.climatology_url, valid_time, grid, channels))

    @contextmanager
    def gfs_forecast(self, init_time: datetime, grid: Grid, channels: Channels) -> Generator[Forecaster]:
        """The public forecast by lead time, read with one client; nobody else asks for it, so it is not kept."""
        with asyncio.Runner() as runner:
            client = archive_client()
            archive = self._archive(client)

            async def fields(lead_hours: int) -> list[Field]:
                plan = await archive.plan(init_time, lead_hours, channels)
                messages = await archive.fetch(plan)
                return await asyncio.to_thread(self._decoder.decode, messages, plan, grid)

            try:
                yield lambda lead_hours: _values(runner.run(fields(lead_hours)))
            finally:
                runner.run(client.aclose())

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
            archive = self._archive(client)
            for (cycle, lead_hours), group in groupby(objects, key=lambda one: (one.init_time, one.lead_time_hours)):
                named = list(group)
                channels = [(one.variable, one.level or 0) for one in named]
                fetched = await fetch_fields(
                    archive, self._decoder, self._objects, grid, cycle, lead_hours, channels, heartbeat
                )
                _require_same(fetched.objects, named)
                fields += fetched.fields
        return fields

    def _archive(self, client: httpx.AsyncClient) -> GfsArchive:
        return GfsArchive([self._settings.gfs_base_url], self._settings.gfs_product, client, self._clock)


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
