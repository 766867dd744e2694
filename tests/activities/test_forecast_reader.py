"""The verified download from call 4 to the canonical field, against a miner that misbehaves."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.responses import Response

from adapters.chunk_decoder import ChunkDecoder
from adapters.forecast_reader import CommittedForecast, FetchedObjects, ForecastReader
from adapters.miner_client import MinerClient
from adapters.object_store import ObjectStore
from adapters.transfer import TransferBudget
from protocol.canonical import J
from tests.hostile_miner import (
    LAYOUT,
    REQUEST_KEY,
    T0,
    VALIDATOR,
    HostileMiner,
    Server,
    field_values,
    loopback,
    running,
    signed,
)
from weather import faults

FIELDS = LAYOUT.fields()
RAW = LAYOUT.raw_bytes
QUICK = TransferBudget(first_byte_seconds=2.0, base_seconds=2.0, lead_round_seconds=10.0, manifest_round_seconds=10.0)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running() as served:
        yield served


@pytest.fixture
def miner(server: Server) -> HostileMiner:
    server.app = hostile = HostileMiner()
    return hostile


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    return ObjectStore(tmp_path)


@pytest.fixture
def reader(store: ObjectStore) -> ForecastReader:
    return reader_of(store, QUICK)


def reader_of(store: ObjectStore, budget: TransferBudget) -> ForecastReader:
    egress = loopback()
    return ForecastReader(MinerClient(REQUEST_KEY, VALIDATOR.hotkey, egress, egress.clock), store, budget)


def committed(server: Server, miner: HostileMiner) -> CommittedForecast:
    return CommittedForecast(server.entry(), miner.commitment, LAYOUT)


async def fetch(reader: ForecastReader, server: Server, miner: HostileMiner, lead: int = 6) -> FetchedObjects:
    forecast = committed(server, miner)
    manifest = await reader.verify_manifest(forecast)
    return await reader.fetch_lead(forecast, manifest.sha256, FIELDS, lead)


async def test_an_honest_forecast_is_read_once_and_decoded_to_its_fields(
    reader: ForecastReader, store: ObjectStore, server: Server, miner: HostileMiner
) -> None:
    fetched = await fetch(reader, server, miner)
    with ChunkDecoder(store) as decoder:
        fields = [decoder.decode_field(LAYOUT, chunk, T0 + timedelta(hours=6)) for chunk in fetched.chunks]
    assert fetched.faults == ()
    assert [(field.variable, field.level) for field in fields] == FIELDS
    for field in fields:
        assert np.array_equal(field.values, field_values(field.variable, field.level, 6))
    metadata = {path for path in miner.objects if path.endswith("zarr.json")}
    chunks = {LAYOUT.chunk_path(*field, 6) for field in FIELDS}
    assert miner.gets == dict.fromkeys({"manifest.json"} | metadata | chunks, 1)


async def test_manifest_and_metadata_are_kept_by_digest(
    reader: ForecastReader, store: ObjectStore, server: Server, miner: HostileMiner
) -> None:
    verified = await reader.verify_manifest(committed(server, miner))
    assert store.get(verified.sha256) == miner.served["manifest.json"]
    assert verified.size_bytes == len(miner.served["manifest.json"])
    for path in ("zarr.json", "2t/zarr.json", "level/zarr.json"):
        assert store.get(miner.manifest.entry(path).sha256) == miner.objects[path]


async def test_what_is_kept_is_never_read_again(reader: ForecastReader, server: Server, miner: HostileMiner) -> None:
    first = await fetch(reader, server, miner)
    manifest = await reader.verify_manifest(committed(server, miner))
    miner.gets.clear()
    miner.posts.clear()
    assert (await reader.fetch_lead(committed(server, miner), manifest.sha256, FIELDS, 6)).chunks == first.chunks
    assert (miner.gets, miner.posts) == ({}, [])


async def test_other_bytes_to_a_second_get_are_never_seen(
    reader: ForecastReader, server: Server, miner: HostileMiner
) -> None:
    path = LAYOUT.chunk_path("t", 500, 6)

    def once(request: Any, honest: Response) -> Response:
        return honest if miner.gets[path] == 1 else Response(b"other")

    miner.overrides[path] = once
    assert (await fetch(reader, server, miner)).faults == ()


async def test_a_fault_of_one_object_leaves_the_others(
    reader: ForecastReader, store: ObjectStore, server: Server, miner: HostileMiner
) -> None:
    bad = bytes(miner.manifest.entry(LAYOUT.chunk_path("t", 850, 6)).size)
    miner.served[LAYOUT.chunk_path("t", 850, 6)] = bad
    del miner.served[LAYOUT.chunk_path("2t", 0, 6)]
    fetched = await fetch(reader, server, miner)
    assert [(chunk.variable, chunk.level) for chunk in fetched.chunks] == [("t", 500)]
    codes = {(fault.variable, fault.level): fault.code for fault in fetched.faults}
    assert codes == {("t", 850): "ObjectDigestMismatch", ("2t", 0): "ObjectAbsent"}
    mismatch = next(fault for fault in fetched.faults if fault.level == 850)
    assert mismatch.expected == miner.manifest.entry(LAYOUT.chunk_path("t", 850, 6)).sha256
    assert mismatch.found and not store.has(mismatch.found)


async def test_an_object_that_was_absent_is_read_in_the_next_attempt_and_no_other(
    reader: ForecastReader, server: Server, miner: HostileMiner
) -> None:
    path = LAYOUT.chunk_path("t", 850, 6)
    body = miner.served.pop(path)
    assert [fault.code for fault in (await fetch(reader, server, miner)).faults] == ["ObjectAbsent"]
    miner.served[path] = body
    manifest = await reader.verify_manifest(committed(server, miner))
    miner.gets.clear()
    again = await reader.fetch_lead(committed(server, miner), manifest.sha256, FIELDS, 6)
    assert again.faults == () and miner.gets == {path: 1}


async def test_what_is_not_there_when_the_round_ends_is_too_slow(
    store: ObjectStore, server: Server, miner: HostileMiner
) -> None:
    reader = reader_of(store, TransferBudget(lead_round_seconds=0.0))
    fetched = await fetch(reader, server, miner)
    assert [fault.code for fault in fetched.faults] == ["TransferSlow"] * len(FIELDS)


async def test_a_round_of_manifest_and_metadata_has_its_own_budget(
    store: ObjectStore, server: Server, miner: HostileMiner
) -> None:
    reader = reader_of(store, TransferBudget(manifest_round_seconds=0.0))
    with pytest.raises(faults.TransferSlow):
        await reader.verify_manifest(committed(server, miner))


@pytest.mark.parametrize(
    ("ending", "answer", "expected"),
    [
        ("/0/0", Response(status_code=302, headers={"location": "http://127.0.0.1:1/"}), faults.Redirected),
        ("/0/0", Response(status_code=403), faults.TokenRefused),
        ("weather-kerchunk-request", Response(status_code=500), faults.MinerUnreachable),
    ],
    ids=["redirect", "refuses its tokens", "no token to be had"],
)
async def test_a_fault_of_the_whole_miner_ends_the_lead(
    ending: str,
    answer: Response,
    expected: type[faults.Fault],
    reader: ForecastReader,
    server: Server,
    miner: HostileMiner,
) -> None:
    manifest = await reader.verify_manifest(committed(server, miner))
    miner.overrides[ending] = lambda request, honest: answer
    with pytest.raises(expected):
        await reader.fetch_lead(committed(server, miner), manifest.sha256, FIELDS, 12)


async def test_the_stored_commitment_decides_and_not_the_one_in_the_answer(
    reader: ForecastReader, server: Server, miner: HostileMiner
) -> None:
    other = miner.commitment.model_copy(update={"root": "8" * 64})
    miner.overrides["weather-kerchunk-request"] = lambda request, honest: signed(
        request, miner.kerchunk_answer(commitment=other.value, verification_hash=other.root)
    )
    await reader.verify_manifest(committed(server, miner))


Change = Callable[[HostileMiner], None]


def metadata(path: str, **members: Any) -> Change:
    """Another `zarr.json`, under a root that fits."""

    def change(miner: HostileMiner) -> None:
        miner.objects[path] = J(json.loads(miner.objects[path]) | members)
        miner.commit()

    return change


def attributes(path: str, **members: Any) -> Change:
    def change(miner: HostileMiner) -> None:
        found = json.loads(miner.objects[path])["attributes"]
        metadata(path, attributes=found | members)(miner)

    return change


def objects(change: Callable[[dict[str, bytes]], object]) -> Change:
    """Other objects, under a root that fits."""

    def changed(miner: HostileMiner) -> None:
        change(miner.objects)
        miner.commit()

    return changed


def moved(old: str, new: str) -> Change:
    return objects(lambda found: found.update({new: found.pop(old)}))


def serving(change: Callable[[bytes], bytes]) -> Change:
    """Another manifest than the committed one."""
    return lambda miner: miner.served.update({"manifest.json": change(miner.served["manifest.json"])})


def absent(miner: HostileMiner) -> None:
    del miner.served["manifest.json"]


CHUNK = LAYOUT.chunk_path("t", 500, 6)
PICKLE = [{"name": "numcodecs.pickle", "configuration": {"protocol": 5}}]
ZSTD = {"name": "zstd", "configuration": {"level": 3, "checksum": True}}
LITTLE = {"name": "bytes", "configuration": {"endian": "little"}}
STORE_FAULTS: dict[str, tuple[Change, type[faults.Fault]]] = {
    "manifest 404": (absent, faults.ManifestAbsent),
    "manifest with a space": (serving(lambda body: body + b" "), faults.ManifestMalformed),
    "manifest that is no JSON": (serving(lambda body: b"[" * 500), faults.ManifestMalformed),
    "manifest that names a hash": (
        serving(lambda body: body.replace(b"{", b'{"hash":"xxh64",', 1)),
        faults.ManifestMalformed,
    ),
    "manifest changed after the receipt": (
        serving(lambda body: body.replace(b'zarr.json",', b'zarr.json",1', 1)),
        faults.ManifestMismatch,
    ),
    "an object too few": (objects(lambda found: found.pop(CHUNK)), faults.ManifestPathsWrong),
    "a stranger in place of an object": (moved(CHUNK, "t/c/9"), faults.ManifestPathsWrong),
    "a path that climbs": (moved(CHUNK, "../x"), faults.ManifestPathsWrong),
    "an absolute path": (moved(CHUNK, "/etc/x"), faults.ManifestPathsWrong),
    "an escaped path": (moved(CHUNK, "%2e%2e/x"), faults.ManifestPathsWrong),
    "an empty chunk": (objects(lambda found: found.update({CHUNK: b""})), faults.ManifestSizesWrong),
    "a chunk above its budget": (
        objects(lambda found: found.update({CHUNK: bytes(RAW + RAW // 64 + 1_025)})),
        faults.ManifestSizesWrong,
    ),
    "1 MiB of attributes": (attributes("zarr.json", history="x" * (1 << 20)), faults.ManifestSizesWrong),
    "ascending latitude": (
        objects(lambda found: found.update({"latitude/c/0": found["latitude/c/0"][::-1]})),
        faults.CoordinatesWrong,
    ),
    "the pickle codec": (metadata("t/zarr.json", codecs=PICKLE), faults.MetadataRefused),
    "a harmless codec, then pickle": (metadata("t/zarr.json", codecs=[LITTLE, ZSTD, *PICKLE]), faults.MetadataRefused),
    "float64": (metadata("t/zarr.json", data_type="float64"), faults.MetadataRefused),
    "big-endian": (
        metadata("t/zarr.json", codecs=[{"name": "bytes", "configuration": {"endian": "big"}}, ZSTD]),
        faults.MetadataRefused,
    ),
    "fill value 0": (metadata("2t/zarr.json", fill_value=0), faults.MetadataRefused),
    "a transformer": (metadata("2t/zarr.json", storage_transformers=[{"name": "x"}]), faults.MetadataRefused),
    "consolidated metadata": (metadata("zarr.json", consolidated_metadata={}), faults.MetadataRefused),
    "a scale factor": (attributes("2t/zarr.json", scale_factor=2), faults.MetadataRefused),
    "units degC": (attributes("2t/zarr.json", units="degC"), faults.MetadataRefused),
    "another's root attributes": (attributes("zarr.json", hotkey="0" * 64), faults.MetadataRefused),
}


@pytest.mark.parametrize("act", STORE_FAULTS)
async def test_a_store_that_is_not_the_layouts_is_refused_before_any_chunk_is_read(
    act: str, reader: ForecastReader, server: Server, miner: HostileMiner
) -> None:
    change, expected = STORE_FAULTS[act]
    change(miner)
    with pytest.raises(faults.Fault) as raised:
        await reader.verify_manifest(committed(server, miner))
    assert type(raised.value) is expected, raised.value
    assert all(path == "manifest.json" or path.endswith("zarr.json") for path in miner.gets)
