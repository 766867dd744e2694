"""Calls 6 and 7: token, transfer, manifest, metadata and a sample of the chunks, as a verified download judges them."""

from __future__ import annotations

import asyncio
import hashlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

import numpy as np

from adapters.chunk_decoder import FetchedChunk
from adapters.egress import check_head, has_content_coding
from adapters.forecast_reader import PARALLEL_GETS, CommittedForecast, FetchedObjects, ForecastReader
from adapters.transfer import TransferBudget
from protocol.commitment import Commitment
from protocol.layout import MAX_METADATA_BYTES, Layout
from protocol.manifest import Manifest, size_cap
from protocol.messages import KerchunkCompleted
from protocol.store import check_metadata
from protocol.tokens import Access, check_access, sign_access, verify_access
from starter.conform.bench import Bench, Heard
from starter.conform.book import Check, Seen, require
from starter.conform.calls import FIRST, MEMBERS, SHOWN
from weather.faults import (
    CoordinatesWrong,
    IncompleteForecast,
    ManifestMismatch,
    ManifestPathsWrong,
    ManifestSizesWrong,
    MinerFault,
    ObjectDigestMismatch,
    Redirected,
)
from weather.variables import bounds

MANIFEST, ROOT = "manifest.json", "zarr.json"
TOKEN, HEARD, SERVED = "token.claims", "get.no-redirect", "get.status-200"
UNCODED, READ, CHUNKS, DECODED = "get.no-content-coding", "manifest.canonical", "chunk.served", "chunk.decodes"
STEP_1_AND_4 = ("request.by-request-key", "poll.store-url", "token.lifetime", "get.content-length")
TAMPERED = ObjectDigestMismatch.__name__
FIRST_BYTE_SECONDS = TransferBudget().first_byte_seconds


def _claims(bench: Bench, answer: KerchunkCompleted) -> str:
    found = check_access(answer.access_token, bench.miner.hotkey, bench.call.job_id, bench.now())
    require(found.sub == bench.validator.hotkey, found.sub, bench.validator.hotkey)
    return answer.access_token


def _lifetime(bench: Bench, token: str) -> None:
    verify_access(token, _access(bench), bench.now())


def _access(bench: Bench) -> Access:
    return Access(bench.miner.hotkey, bench.validator.hotkey, bench.call.job_id)


async def _no_redirect(bench: Bench, token: str) -> list[Heard]:
    """Manifest, root metadata and the first chunk, whatever the answers are."""
    chunk = bench.layout.chunk_path(*bench.layout.fields()[0], bench.layout.lead_time_hours[0])
    heard = [await bench.get(path, token, _largest(bench)) for path in (MANIFEST, ROOT, chunk)]
    moved = [one.response.headers.get("location") for one in heard if 300 <= one.status < 400]
    require(not moved, moved)
    return heard


def _largest(bench: Bench) -> int:
    limits = bench.layout.size_limits
    return max(size_cap(len(limits)), *(most for _, most in limits.values()))


def _status_200(_: Bench, heard: list[Heard]) -> None:
    require(all(one.status == 200 for one in heard), [one.status for one in heard])


def _content_length(_: Bench, heard: list[Heard]) -> None:
    for one in heard:
        declared = one.response.headers.get("content-length", "no length")
        exact = declared == str(len(one.body)) and "transfer-encoding" not in one.response.headers
        require(exact, f"{declared} declared, {len(one.body)} bytes sent")


def _no_coding(_: Bench, heard: list[Heard]) -> None:
    for one in heard:
        require(not has_content_coding(one.response), one.response.headers.get("content-encoding"))


async def _no_token(bench: Bench) -> None:
    (await bench.get(MANIFEST, None, _largest(bench))).refused("Unauthenticated")


async def _forged_token(bench: Bench) -> None:
    forged = sign_access(bench.validator.key, _access(bench), "x", (bench.now(), timedelta(minutes=30)))
    (await bench.get(MANIFEST, forged, _largest(bench))).refused("Unauthenticated")


async def _foreign_token(bench: Bench, token: str) -> None:
    (await bench.get(f"../{bench.elsewhere()['job_id']}/{MANIFEST}", token)).refused("Forbidden")


async def _absent(bench: Bench, token: str) -> None:
    for path in ("no-such-object", f"{ROOT}/", "%2e%2e/%2e%2e/miner.sqlite"):
        (await bench.get(path, token)).refused("UnknownJob")


async def _parallel(bench: Bench, token: str) -> None:
    """Each GET stays open until all of them have their answer."""
    headers, path = {"Authorization": f"Bearer {token}"}, f"zarr/{bench.call.job_id}/{MANIFEST}"
    async with asyncio.timeout(FIRST_BYTE_SECONDS), AsyncExitStack() as opened:
        asked = [bench.client.stream("GET", path, headers=headers) for _ in range(PARALLEL_GETS)]
        found = [(await opened.enter_async_context(one)).status_code for one in asked]
    require(found == [200] * PARALLEL_GETS, found)


def _canonical(bench: Bench, heard: list[Heard]) -> Manifest:
    return Manifest.read(heard[0].body, bench.call.job_id, len(bench.layout.object_set()))


def _committed(later: Sequence[type[MinerFault]], bench: Bench, manifest: Manifest, commitment: Commitment) -> None:
    """What is known of a manifest before any object is asked for, but for what is checked `later`."""
    with suppress(*later):
        manifest.check_against(commitment, bench.layout)


async def _metadata(path: str, bench: Bench, manifest: Manifest, commitment: Commitment, token: str) -> None:
    body = (await bench.get(path, token, MAX_METADATA_BYTES)).body
    found, expected = hashlib.sha256(body).hexdigest(), manifest.entry(path).sha256
    require(found == expected, found, expected)
    check_metadata(path, body, bench.layout, commitment)
    bench.validator.wiring.store.put(body)


async def _chunks(bench: Bench, manifest: Manifest, commitment: Commitment) -> list[FetchedObjects]:
    """Each field once, all leads in turn; that of the analysis at the first lead."""
    by_lead, leads = defaultdict(list), bench.layout.lead_time_hours
    known = bench.analysis.variable, bench.analysis.level
    for place, field in enumerate(sorted(bench.layout.fields(), key=lambda field: field != known)):
        by_lead[leads[place % len(leads)]].append(field)
    wiring, forecast = bench.validator.wiring, CommittedForecast(bench.miner, commitment, bench.layout)
    reader, sha256 = ForecastReader(wiring.caller, wiring.store), wiring.store.put(manifest.canonical)
    fetched = [await reader.fetch_lead(forecast, sha256, fields, lead) for lead, fields in by_lead.items()]
    _require_none(fault for lead in fetched for fault in lead.faults if fault.code != TAMPERED)
    return fetched


def _digests(_: Bench, fetched: list[FetchedObjects]) -> None:
    _require_none(fault for lead in fetched for fault in lead.faults if fault.code == TAMPERED)


@dataclass(frozen=True)
class Decoded:
    """The range of a chunk's values, and how they would be more like the analysis; or why there are none."""

    name: str
    bounds: tuple[float, float]
    fault: MinerFault | None = None
    least: float = 0
    greatest: float = 0
    turn: str = ""


async def _decoded(bench: Bench, fetched: list[FetchedObjects]) -> list[Decoded]:
    decoded = [await asyncio.to_thread(_decode, bench, each) for lead in fetched for each in lead.chunks]
    _require_none(one.fault for one in decoded if one.fault and not isinstance(one.fault, IncompleteForecast))
    return decoded


def _decode(bench: Bench, chunk: FetchedChunk) -> Decoded:
    name = f"{chunk.variable} at level {chunk.level}, {chunk.lead_hours} h"
    limits = bounds(chunk.variable, chunk.level)
    valid_time = bench.call.gfs_init_time + timedelta(hours=chunk.lead_hours)
    try:
        values = bench.validator.wiring.chunks.decode_field(bench.layout, chunk, valid_time).values
    except MinerFault as fault:
        return Decoded(name, limits, fault)
    known = (chunk.variable, chunk.level) == (bench.analysis.variable, bench.analysis.level)
    turn = _turn(values, bench.analysis.values) if known else ""
    return Decoded(name, limits, None, float(values.min()), float(values.max()), turn)


def _turn(values: np.ndarray, analysis: np.ndarray) -> str:
    """The turn that halves the distance to the analysis, if one does."""
    half_way = np.roll(values, values.shape[1] // 2, axis=1)
    turned = {"": values, "upside down": values[::-1], "half way round": half_way}
    misfit = {turn: float(np.mean((each - analysis) ** 2)) for turn, each in turned.items()}
    nearest = min(misfit, key=lambda turn: misfit[turn])
    return nearest if misfit[nearest] < misfit[""] / 2 else ""


def _finite(_: Bench, decoded: list[Decoded]) -> None:
    _require_none(one.fault for one in decoded if one.fault)


def _bounds(_: Bench, decoded: list[Decoded]) -> None:
    for one in decoded:
        least, greatest = one.bounds
        inside = one.fault or least <= one.least <= one.greatest <= greatest
        require(bool(inside), f"{one.name}: {one.least:g} … {one.greatest:g}", f"{least:g} … {greatest:g}")


def _placed(_: Bench, decoded: list[Decoded]) -> None:
    for one in decoded:
        require(not one.turn, f"{one.name} is more like the analysis when it is turned {one.turn}")


def _first_byte(bench: Bench) -> Seen:
    slowest = max(one.first_byte_seconds for one in bench.heard if one.response.request.method == "GET")
    require(slowest <= FIRST_BYTE_SECONDS, f"{slowest:.3f} s")
    return Seen(f"at most {slowest:.3f} s")


def _headers(bench: Bench, _first: object) -> None:
    for heard in bench.heard:
        with suppress(Redirected):
            check_head(heard.response)


def _require_none(faults: Any) -> None:
    for fault in faults:
        require(False, f"{fault.code}: {fault.detail}: {fault.found}", fault.expected)


def checks(layout: Layout) -> Iterator[Check]:
    """All of them for a store of this layout."""
    yield from BEFORE
    judged, needs = [], (READ, MEMBERS)
    for place, (name, _, says) in enumerate(KNOWN_BEFOREHAND):
        later = [fault for _, fault, _ in KNOWN_BEFOREHAND[place + 1 :]]
        yield Check(name, "5.1", says, partial(_committed, later), (*needs, *judged))
        judged.append(name)
    arrays = {f"store.array-metadata.{name}": f"{name}/{ROOT}" for name in layout.array_names()}
    says, paths = "The digest of the manifest, and the template", (*needs, TOKEN, "manifest.paths")
    for name, path in {"store.root-attributes": ROOT, **arrays}.items():
        yield Check(name, "3", says, partial(_metadata, path), paths)
    chunks = (*needs, "manifest.sizes", *STEP_1_AND_4, *arrays)
    yield Check(CHUNKS, "5.1", "In full, in time, four at once", _chunks, chunks)
    yield from AFTER


# In the order in which they are found
KNOWN_BEFOREHAND = (
    ("manifest.root", ManifestMismatch, "The committed root, count and total"),
    ("manifest.paths", ManifestPathsWrong, "The object set of the layout"),
    ("manifest.sizes", ManifestSizesWrong, "Each size within its budget"),
    ("store.coordinates", CoordinatesWrong, "The chunks that follow from layout and init time"),
)
BEFORE = (
    Check(TOKEN, "5.1", "Signed by the miner, for itself, this validator and this job", _claims, (SHOWN,)),
    Check("token.lifetime", "1", "10 … 120 minutes, at least one of them left", _lifetime, (TOKEN,)),
    Check(HEARD, "5.2", "No 3xx for manifest, metadata and chunk", _no_redirect, (TOKEN,)),
    Check(SERVED, "5.1", "200 for each of them", _status_200, (HEARD,)),
    Check("get.content-length", "5.1", "Declared and exact; no chunked transfer", _content_length, (HEARD, SERVED)),
    Check(UNCODED, "5.1", "None", _no_coding, (HEARD, SERVED)),
    Check("get.no-token-401", "1", "401 Unauthenticated", _no_token, (SERVED,)),
    Check("get.forged-token-401", "1", "401 Unauthenticated, if the validator signed it", _forged_token, (SERVED,)),
    Check("get.foreign-token-403", "1", "403 Forbidden at the store of another job", _foreign_token, (SERVED, TOKEN)),
    Check("get.absent-404", "5.1", "404 UnknownJob for what is not in the object set", _absent, (SERVED, TOKEN)),
    Check("get.parallel-4", "2.2", "Four open GETs are all answered", _parallel, (SERVED, TOKEN)),
    Check(READ, "4.1", "Canonical JSON of the job, sorted, each path once", _canonical, (HEARD, UNCODED)),
)
AFTER = (
    Check("chunk.digest", "5.1", "The digest of the manifest", _digests, (CHUNKS,)),
    Check(DECODED, "5.1", "Exactly the raw bytes, by the codec of the array", _decoded, (CHUNKS,)),
    Check("chunk.finite", "5.1", "Each cell", _finite, (DECODED,)),
    Check("chunk.bounds", "3", "Values that the variable can have in its unit", _bounds, (DECODED,)),
    Check("chunk.placed", "3", "Southward rows, columns from longitude 0, as in the analysis", _placed, (DECODED,)),
    Check("timing.first-byte", "5.3", "Within 10 s", _first_byte, (SERVED,)),
    Check("headers.limits", "2.2", "At most 100 fields and 32 KiB in each answer", _headers, (FIRST,)),
)
