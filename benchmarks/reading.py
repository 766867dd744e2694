"""One lead of one miner over real HTTP: read, verified, decoded, scored; beside the same road without verification."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path

import numpy as np
import psutil

from adapters.chunk_decoder import ChunkDecoder
from adapters.clock import SystemClock
from adapters.egress import Egress
from adapters.forecast_reader import PARALLEL_GETS, CommittedForecast, ForecastReader, VerifiedManifest
from adapters.miner_client import MinerClient, store_url
from adapters.object_store import LocalObjects
from benchmarks.store_server import served
from benchmarks.timing import Row, Table
from benchmarks.world import LEAD_HOURS, MINER, VALID_TIME, VALIDATOR, Store, Triple, write_store
from protocol.manifest import Entry
from protocol.registry import RosterEntry
from weather.fields import Field
from weather.sums import field_sums

REPEATS = 15


def tables() -> list[Table]:
    """Both sizes."""
    return [_table(grid) for grid in ("0p25", "5p625")]


def _table(grid: str) -> Table:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        store, triples = write_store(folder / "miner", grid)
        url = stack.enter_context(served(folder / "miner"))
        objects = LocalObjects(folder / "objects")
        decoder = stack.enter_context(ChunkDecoder(objects))
        return Roads(url, store, triples, objects, folder / "objects", decoder).compared()


@dataclass(frozen=True)
class Roads:
    """Ways from a miner's store to sums; each pass begins with an empty object store and a warm decode child."""

    url: str
    store: Store
    triples: dict[tuple[str, int], Triple]
    objects: LocalObjects
    folder: Path
    decoder: ChunkDecoder

    def compared(self) -> Table:
        """Best of several passes each, taken in turn."""
        passes = [(self.verified(), self.unverified()) for _ in range(REPEATS)][1:]
        verified, unverified = (min(column) for column in zip(*passes, strict=True))
        core_seconds = min(self._core_seconds(self.verified) for _ in range(3))
        megabytes, fields = self.store.raw_megabytes, len(self.triples)
        rows = (
            Row("the same road without verification", 1_000 * unverified, "ms", 1.0),
            Row("verified", 1_000 * verified, "ms", verified / unverified, "≤ 1.25"),
            Row("verified, raw bytes a core", megabytes / core_seconds, "MB/s"),
            Row("once a run: token, manifest, metadata", 1_000 * min(self._manifest_seconds() for _ in range(3)), "ms"),
        )
        title = f"{fields} fields of {self.store.layout.grid}, {megabytes:.1f} MB raw, over HTTP"
        return Table(title, "the same road without verification", rows)

    def verified(self) -> float:
        """What production does for one lead."""
        manifest, started = self._start(), time.perf_counter()
        fields = self.store.layout.fields()
        fetched = asyncio.run(self._reader().fetch_lead(self._forecast(), manifest.sha256, fields, LEAD_HOURS))
        for chunk in fetched.chunks:
            self._score(self.decoder.decode_field(self.store.layout, chunk, VALID_TIME))
        return time.perf_counter() - started

    def unverified(self) -> float:
        """The same requests, files and child, without a digest or a look at the values."""
        self._start()
        started = time.perf_counter()
        layout, grid = self.store.layout, self.store.layout.grid_value
        entries = {field: self.store.manifest.entry(layout.chunk_path(*field, LEAD_HOURS)) for field in layout.fields()}
        asyncio.run(self._gets(entries.values()))
        for field, entry in entries.items():
            kept = (self.folder / "bytes" / entry.sha256[:2] / entry.sha256).read_bytes()
            raw = self.decoder.decode_bytes(kept, "pcodec", layout.raw_bytes)
            self._score(Field.of(grid, *field, VALID_TIME, np.frombuffer(raw, "<f4").reshape(grid.shape)))
        return time.perf_counter() - started

    async def _gets(self, entries: Iterable[Entry]) -> None:
        miner, job_id, slots = self._miner(), self.store.commitment.job_id, asyncio.Semaphore(PARALLEL_GETS)
        async with self._calls().egress.client(store_url(miner, job_id)) as client:
            headers = {"Authorization": f"Bearer {await self._calls().access_token(miner, job_id)}"}

            async def get(entry: Entry) -> None:
                async with slots:
                    body = (await client.get(entry.path, headers=headers)).content
                await asyncio.to_thread(self.objects.put_proved, body, entry.sha256)

            await asyncio.gather(*map(get, entries))

    def _score(self, forecast: Field) -> None:
        one = self.triples[forecast.variable, forecast.level]
        field_sums(forecast, one.truth, one.climatology)

    def _start(self) -> VerifiedManifest:
        shutil.rmtree(self.folder, ignore_errors=True)
        return asyncio.run(self._reader().verify_manifest(self._forecast()))

    def _manifest_seconds(self) -> float:
        started = time.perf_counter()
        self._start()
        return time.perf_counter() - started

    def _core_seconds(self, road: Callable[[], float]) -> float:
        """Of this process and its decode children; the server, the first of the children, is the miner's."""
        ours = [psutil.Process(), *psutil.Process().children()[1:]]
        before = sum(sum(process.cpu_times()[:2]) for process in ours)
        road()
        return sum(sum(process.cpu_times()[:2]) for process in ours) - before

    def _reader(self) -> ForecastReader:
        return ForecastReader(self._calls(), self.objects)

    def _calls(self) -> MinerClient:
        egress = Egress(SystemClock(), allow=(ip_network("127.0.0.0/8"),))
        return MinerClient(VALIDATOR, VALIDATOR.hotkey, egress, egress.clock)

    def _forecast(self) -> CommittedForecast:
        return CommittedForecast(self._miner(), self.store.commitment, self.store.layout)

    def _miner(self) -> RosterEntry:
        return RosterEntry(hotkey=MINER.hotkey, uid=None, name="bench", base_url=self.url, tls_sha256=None)
