"""One lead of one miner over real HTTP: read, verified, decoded, scored; beside the same road without verification."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from ipaddress import ip_network
from itertools import pairwise
from pathlib import Path

import numpy as np
import psutil

from adapters.chunk_decoder import ChunkDecoder
from adapters.clock import Clock
from adapters.egress import Egress
from adapters.forecast_reader import PARALLEL_GETS, CommittedForecast, ForecastReader, VerifiedManifest
from adapters.miner_client import MinerClient, store_url
from adapters.object_store import ObjectStore
from benchmarks.store_server import served
from benchmarks.timing import Row, Table
from benchmarks.world import LEAD_HOURS, MINER, VALID_TIME, VALIDATOR, Store, Triple, write_store
from protocol.manifest import Entry
from protocol.registry import RosterEntry
from weather.fields import Field
from weather.sums import field_sums

REPEATS = 15
STAGES = ("reading, digests, keeping", "decoding in the child", "sums")
CLOCK = Clock()
CALLS = MinerClient(VALIDATOR, VALIDATOR.hotkey, Egress(CLOCK, allow=(ip_network("127.0.0.0/8"),)), CLOCK)


def tables() -> list[Table]:
    """Both sizes."""
    return [_table(grid) for grid in ("0p25", "5p625")]


def _table(grid: str) -> Table:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        store, triples = write_store(folder / "miner", grid)
        url = stack.enter_context(served(folder / "miner"))
        miner = RosterEntry(hotkey=MINER.hotkey, uid=None, name="bench", base_url=url, tls_sha256=None)
        objects = ObjectStore(folder / "objects")
        decoder = stack.enter_context(ChunkDecoder(objects))
        return Roads(miner, store, triples, objects, folder / "objects", decoder).compared()


@dataclass(frozen=True)
class Roads:
    """Ways from a miner's store to sums; each pass begins with an empty object store and a warm decode child."""

    miner: RosterEntry
    store: Store
    triples: dict[tuple[str, int], Triple]
    objects: ObjectStore
    folder: Path
    decoder: ChunkDecoder

    def compared(self) -> Table:
        """Best of several passes each, taken in turn."""
        passes = [(self.verified(), self.unverified()) for _ in range(REPEATS)][1:]
        stages, unverified = min((one for one, _ in passes), key=sum), min(other for _, other in passes)
        verified, core_seconds = sum(stages), min(self._core_seconds() for _ in range(3))
        rows = (
            Row("the same road without verification", 1_000 * unverified, "ms", 1.0),
            Row("verified", 1_000 * verified, "ms", verified / unverified, "≤ 1.25"),
            *(Row(f"of it {stage}", 100 * part / verified, "%") for stage, part in zip(STAGES, stages, strict=True)),
            Row(
                "verified, raw bytes a core",
                self.store.layout.raw_bytes * len(self.triples) / 1e6 / core_seconds,
                "MB/s",
            ),
        )
        title = f"{len(self.triples)} fields of {self.store.layout.grid} over HTTP"
        return Table(title, "the same road without verification", rows)

    def verified(self) -> tuple[float, ...]:
        """What production does for one lead, in seconds by stage."""
        manifest, laps = self._start(), [time.perf_counter()]
        reading = ForecastReader(CALLS, self.objects).fetch_lead(
            self._forecast(), manifest.sha256, self.store.layout.fields(), LEAD_HOURS
        )
        chunks = asyncio.run(reading).chunks
        laps.append(time.perf_counter())
        for chunk in chunks:
            field = self.decoder.decode_field(self.store.layout, chunk, VALID_TIME)
            laps.append(time.perf_counter())
            self._score(field)
            laps.append(time.perf_counter())
        read, *rest = (end - begin for begin, end in pairwise(laps))
        return read, sum(rest[::2]), sum(rest[1::2])

    def unverified(self) -> float:
        """The same requests, files and child, without a digest or a look at the values."""
        self._start()
        started = time.perf_counter()
        layout = self.store.layout
        for field, entry in asyncio.run(self._gets()).items():
            kept = (self.folder / "bytes" / entry.sha256[:2] / entry.sha256).read_bytes()
            raw = self.decoder.decode_bytes(kept, "pcodec", layout.raw_bytes)
            values = np.frombuffer(raw, "<f4").reshape(layout.grid_value.shape)
            self._score(Field.of(layout.grid_value, *field, VALID_TIME, values))
        return time.perf_counter() - started

    async def _gets(self) -> dict[tuple[str, int], Entry]:
        """All fields, each kept as it came."""
        job_id, slots, layout = self.store.commitment.job_id, asyncio.Semaphore(PARALLEL_GETS), self.store.layout
        entries = {field: self.store.manifest.entry(layout.chunk_path(*field, LEAD_HOURS)) for field in layout.fields()}
        async with CALLS.egress.client(store_url(self.miner, job_id)) as client:
            headers = {"Authorization": f"Bearer {await CALLS.access_token(self.miner, job_id)}"}

            async def get(entry: Entry) -> None:
                async with slots:
                    body = (await client.get(entry.path, headers=headers)).content
                await asyncio.to_thread(self.objects.put_proved, body, entry.sha256)

            await asyncio.gather(*map(get, entries.values()))
        return entries

    def _score(self, forecast: Field) -> None:
        one = self.triples[forecast.variable, forecast.level]
        field_sums(forecast, one.truth, one.climatology)

    def _start(self) -> VerifiedManifest:
        shutil.rmtree(self.folder, ignore_errors=True)
        return asyncio.run(ForecastReader(CALLS, self.objects).verify_manifest(self._forecast()))

    def _core_seconds(self) -> float:
        """Of this process and its decode children; the server, the first of the children, is the miner's."""
        ours = [psutil.Process(), *psutil.Process().children()[1:]]
        before = sum(sum(process.cpu_times()[:2]) for process in ours)
        self.verified()
        return sum(sum(process.cpu_times()[:2]) for process in ours) - before

    def _forecast(self) -> CommittedForecast:
        return CommittedForecast(self.miner, self.store.commitment, self.store.layout)
