"""The verified download: a manifest against its commitment, metadata against templates, chunks against digests."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import AsyncGenerator, Coroutine, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple, Self, TypeVar

from pydantic import BaseModel, ConfigDict

from adapters.chunk_decoder import Chunks, Codec, FetchedChunk, FieldCase
from adapters.miner_client import MinerClient, store_url
from adapters.object_store import ObjectStore
from adapters.transfer import AccessTokens, Transfer, TransferBudget
from protocol.commitment import Commitment
from protocol.layout import Layout
from protocol.manifest import Entry, Manifest, size_cap
from protocol.registry import RosterEntry
from protocol.store import check_metadata
from weather.faults import (
    BadAnswer,
    ContentCodingRefused,
    MinerFault,
    ObjectAbsent,
    ObjectDigestMismatch,
    ObjectLengthMismatch,
    TransferFailed,
    TransferSlow,
)

Settled = TypeVar("Settled")

PARALLEL_GETS = 4
CODECS: dict[str, Codec] = {"zstd": "zstd", "numcodecs.pcodec": "pcodec"}
OF_ONE_OBJECT = (
    BadAnswer,
    ContentCodingRefused,
    ObjectAbsent,
    ObjectDigestMismatch,
    ObjectLengthMismatch,
    TransferFailed,
    TransferSlow,
)


@dataclass(frozen=True)
class CommittedForecast:
    """Whose forecast, what was committed, and in which layout."""

    miner: RosterEntry
    commitment: Commitment
    layout: Layout


class VerifiedManifest(BaseModel):
    """A manifest in the object store that fits its commitment, and whose metadata fits the templates."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sha256: str
    size_bytes: int


class ObjectFault(FieldCase):
    """Why one chunk is not there; the others are not concerned."""

    code: str
    detail: str
    found: str | None
    expected: str | None

    @classmethod
    def of(cls, case: FieldCase, fault: MinerFault) -> Self:
        """The fault of a chunk."""
        return cls(
            **case.model_dump(include={"variable", "level", "lead_hours"}),
            code=fault.code,
            detail=fault.detail,
            found=fault.found,
            expected=fault.expected,
        )


class FetchedObjects(BaseModel):
    """Verified chunks of one miner, and what could not be had; `transferred` came over the network just now."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    chunks: tuple[FetchedChunk, ...]
    faults: tuple[ObjectFault, ...]
    transferred: int = 0


class Wanted(NamedTuple):
    """A chunk with its place in the manifest."""

    entry: Entry
    chunk: FetchedChunk
    kept: bool


class ForecastReader:
    """Reads stores of miners into the object store, four GETs at a time per miner. One event loop."""

    def __init__(self, calls: MinerClient, store: ObjectStore, budget: TransferBudget | None = None) -> None:
        self._calls = calls
        self._store = store
        self._budget = budget or TransferBudget()
        self._slots: defaultdict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(PARALLEL_GETS))

    async def verify_manifest(self, forecast: CommittedForecast) -> VerifiedManifest:
        """Steps 1 to 3: token, manifest, metadata; all of it is kept."""
        commitment = forecast.commitment
        try:
            async with asyncio.timeout(self._budget.manifest_round_seconds), self._transfer(forecast) as transfer:
                body = await transfer.fetch_manifest(size_cap(commitment.object_count))
                manifest = Manifest.read(body, commitment.job_id, commitment.object_count)
                manifest.check_against(commitment, forecast.layout)
                entries = [entry for entry in manifest.objects if entry.path.endswith("zarr.json")]
                await _all([self._fetch_metadata(transfer, forecast, entry) for entry in entries])
        except TimeoutError as error:
            raise TransferSlow("manifest and metadata", expected=f"{self._budget.manifest_round_seconds} s") from error
        return VerifiedManifest(sha256=await asyncio.to_thread(self._store.put, body), size_bytes=len(body))

    async def fetch_lead(
        self, forecast: CommittedForecast, manifest_sha256: str, fields: Sequence[tuple[str, int]], lead_hours: int
    ) -> FetchedObjects:
        """Step 4 for chunks of one lead; one that is kept already is not read again."""
        wanted = await asyncio.to_thread(
            wanted_chunks, self._store, forecast.layout, manifest_sha256, fields, lead_hours
        )
        missing = [one for one in wanted if not one.kept]
        settled = await self._fetch(forecast, [one.entry for one in missing]) if missing else []
        faults = {one.chunk: fault for one, fault in zip(missing, settled, strict=True) if fault}
        return FetchedObjects(
            chunks=tuple(one.chunk for one in wanted if one.chunk not in faults),
            faults=tuple(ObjectFault.of(chunk, fault) for chunk, fault in faults.items()),
            transferred=len(missing) - len(faults),
        )

    async def audit(
        self, forecast: CommittedForecast, manifest_sha256: str, places: Iterable[int]
    ) -> dict[str, MinerFault | None]:
        """Step 4 for objects by their places in the manifest, kept already or not: the fault of each path."""
        manifest = await asyncio.to_thread(_manifest, self._store, manifest_sha256)
        entries = [manifest.objects[place] for place in sorted(set(places))]
        paths = [entry.path for entry in entries]
        try:
            faults = await self._fetch(forecast, entries)
        except MinerFault as fault:
            return dict.fromkeys(paths, fault)
        return dict(zip(paths, faults, strict=True))

    @asynccontextmanager
    async def _transfer(self, forecast: CommittedForecast) -> AsyncGenerator[Transfer]:
        miner, job_id = forecast.miner, forecast.commitment.job_id
        tokens = AccessTokens(lambda: self._calls.access_token(miner, job_id))
        async with self._calls.egress.client(store_url(miner, job_id), miner.tls_sha256) as client:
            await tokens.current()
            yield Transfer(client, tokens, self._slots[miner.hotkey], self._budget)

    async def _fetch_metadata(self, transfer: Transfer, forecast: CommittedForecast, entry: Entry) -> None:
        body = await transfer.fetch_object(entry)
        check_metadata(entry.path, body, forecast.layout, forecast.commitment)
        await asyncio.to_thread(self._store.put_proved, body, entry.sha256)

    async def _fetch(self, forecast: CommittedForecast, entries: Sequence[Entry]) -> list[MinerFault | None]:
        """Why an object is not kept, for each."""
        deadline = asyncio.get_running_loop().time() + self._budget.lead_round_seconds
        async with self._transfer(forecast) as transfer:
            return await _all([self._fetch_object(transfer, entry, deadline) for entry in entries])

    async def _fetch_object(self, transfer: Transfer, entry: Entry, deadline: float) -> MinerFault | None:
        try:
            async with asyncio.timeout_at(deadline):
                body = await transfer.fetch_object(entry)
        except TimeoutError:
            return TransferSlow(entry.path, expected="the lead within its round")
        except OF_ONE_OBJECT as fault:
            return fault
        await asyncio.to_thread(self._store.put_proved, body, entry.sha256)
        return None


def wanted_chunks(
    store: ObjectStore, layout: Layout, manifest_sha256: str, fields: Sequence[tuple[str, int]], lead_hours: int
) -> list[Wanted]:
    """The chunks of these fields by a verified manifest, and whether each is kept."""
    manifest = _manifest(store, manifest_sha256)
    codecs = {name: codec_of(store, manifest, name) for name in {name for name, _ in fields}}
    wanted = []
    for variable, level in fields:
        entry = manifest.entry(layout.chunk_path(variable, level, lead_hours))
        case = {"variable": variable, "level": level, "lead_hours": lead_hours}
        chunk = FetchedChunk(**case, sha256=entry.sha256, codec=codecs[variable])
        wanted.append(Wanted(entry, chunk, store.has(entry.sha256)))
    return wanted


def kept_chunks(
    store: ObjectStore, layout: Layout, manifest_sha256: str, fields: Sequence[tuple[str, int]], lead_hours: int
) -> list[FetchedChunk]:
    """Those of them whose bytes and metadata are kept."""
    if not store.has(manifest_sha256):
        return []
    manifest = _manifest(store, manifest_sha256)
    known = [each for each in fields if store.has(manifest.entry(f"{each[0]}/zarr.json").sha256)]
    return [one.chunk for one in wanted_chunks(store, layout, manifest_sha256, known, lead_hours) if one.kept]


def _manifest(store: ObjectStore, sha256: str) -> Manifest:
    return Manifest.of_value(json.loads(store.get(sha256)))


def codec_of(chunks: Chunks, manifest: Manifest, variable: str) -> Codec:
    """As the verified metadata of the array says."""
    metadata = json.loads(chunks.get(manifest.entry(f"{variable}/zarr.json").sha256))
    return CODECS[metadata["codecs"][-1]["name"]]


async def _all(parts: Iterable[Coroutine[Any, Any, Settled]]) -> list[Settled]:
    """All results; the first error ends the others and is raised as it is."""
    tasks = [asyncio.create_task(part) for part in parts]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
