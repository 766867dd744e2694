"""Miners whose store breaks a rule fail exactly the checks that say so."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
from collections.abc import AsyncGenerator, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pcodec import ChunkConfig, standalone  # ty: ignore[missing-module-member] - compiled, without stubs
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse

from adapters.clock import Clock
from miner.service import MinerService, refused
from protocol.jws import unseal
from protocol.layout import Layout
from protocol.manifest import Manifest
from protocol.problems import Refusal
from protocol.tokens import ACCESS, Access, AccessClaims, sign_access
from tests.activities.conform.conftest import Departure, Scene, failed
from tests.activities.conform.test_broken_calls import HASTY, answering

Serve = Callable[[Request, Response], Response]


def serving_otherwise(change: Serve) -> type[MinerService]:
    """A miner that answers GETs of its store otherwise."""

    class Altered(MinerService):
        async def store_object(self, request: Request) -> Response:
            return change(request, await super().store_object(request))

    return Altered


class Open(MinerService):
    """Asks nobody for a token."""

    async def store_object(self, request: Request) -> Response:
        try:
            return Response(self._read(request.path_params["job_id"], request.path_params["path"]))
        except Refusal as refusal:
            return refused(request, refusal)


class OneAtATime(MinerService):
    """Refuses the manifest while somebody else has it half read."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._reading, self._disturbed = False, asyncio.Event()

    async def store_object(self, request: Request) -> Response:
        response = await super().store_object(request)
        if not request.url.path.endswith("manifest.json") or response.status_code != 200:
            return response
        if self._reading:
            self._disturbed.set()
            return Response(status_code=503)
        self._reading = True
        return StreamingResponse(
            self._halves(bytes(response.body)), headers={"content-length": f"{len(response.body)}"}
        )

    async def _halves(self, body: bytes) -> AsyncGenerator[bytes]:
        try:
            yield body[:100]
            await asyncio.wait_for(self._disturbed.wait(), 0.2)
        except TimeoutError:
            pass
        self._reading = False
        yield body[100:]


def in_parts(_: Request, response: Response) -> Response:
    async def parts() -> AsyncGenerator[bytes]:
        yield bytes(response.body)

    return StreamingResponse(parts()) if response.status_code == 200 else response


def zipped(_: Request, response: Response) -> Response:
    coded = Response(gzip.compress(bytes(response.body)), headers={"content-encoding": "gzip"})
    return coded if response.status_code == 200 else response


def moved(request: Request, response: Response) -> Response:
    return RedirectResponse("http://127.0.0.1:9/elsewhere") if response.status_code == 200 else response


def decorated(_: Request, response: Response) -> Response:
    response = Response(bytes(64)) if response.status_code == 404 else response
    for number in range(101):
        response.headers[f"x-{number}"] = "weather"
    return response


def fields_of(variable: str, change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path, Layout], None]:
    """Writes all chunks of a variable anew."""

    def rewrite(store: Path, layout: Layout) -> None:
        for path in chunks_of(store, variable):
            values = np.frombuffer(standalone.simple_decompress(path.read_bytes()), np.float32)
            changed = np.ascontiguousarray(change(values.reshape(layout.grid_value.shape)), np.float32)
            path.write_bytes(standalone.simple_compress(changed.ravel(), ChunkConfig(compression_level=8)))

    return rewrite


def chunks_of(store: Path, variable: str) -> list[Path]:
    return [path for path in (store / variable / "c").rglob("*") if path.is_file()]


def with_a_hole(values: np.ndarray) -> np.ndarray:
    changed = values.copy()
    changed[3, 3] = np.nan
    return changed


def bad_weather(store: Path, layout: Layout) -> None:
    fields_of("t", lambda values: values - 273.15)(store, layout)
    fields_of("u", with_a_hole)(store, layout)
    fields_of("z", np.flipud)(store, layout)


def garbage(store: Path, _: Layout) -> None:
    for path in chunks_of(store, "v"):
        path.write_bytes(b"no weather at all")


def flipped(store: Path, _: Layout) -> None:
    for path in chunks_of(store, "z"):
        chunk = bytearray(path.read_bytes())
        chunk[len(chunk) // 2] ^= 1
        path.write_bytes(chunk)


def another_store(store: Path, layout: Layout) -> None:
    """Metadata and longitudes that are not those of the layout."""
    changed(store / "zarr.json", lambda document: document.update(consolidated_metadata={}))
    changed(store / "2t" / "zarr.json", lambda document: document["attributes"].update(units="degC"))
    longitudes = np.frombuffer((store / "longitude/c/0").read_bytes(), "<f8")
    (store / "longitude/c/0").write_bytes((longitudes - 180).tobytes())
    remanifested(store, layout)


def changed(file: Path, change: Callable[[dict[str, Any]], object]) -> None:
    document = json.loads(file.read_bytes())
    change(document)
    file.write_text(json.dumps(document))


def remanifested(store: Path, _: Layout) -> None:
    job_id = json.loads((store / "manifest.json").read_bytes())["job_id"]
    files = [path for path in store.rglob("*") if path.is_file() and path.name != "manifest.json"]
    entries = ((str(p.relative_to(store)), p.stat().st_size, hashlib.sha256(p.read_bytes()).hexdigest()) for p in files)
    (store / "manifest.json").write_bytes(Manifest.build(job_id, entries).canonical)


def with_a_stranger(store: Path, layout: Layout) -> None:
    (store / "notes.txt").write_text("rain")
    remanifested(store, layout)


def spaced(store: Path, _: Layout) -> None:
    manifest = store / "manifest.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_bytes())))


def day_long(key: Any, answer: Any) -> dict[str, Any]:

    claims = AccessClaims.parse(unseal(answer.access_token, ACCESS).payload)
    now = Clock().now()
    return {"access_token": sign_access(key, Access(key.hotkey, claims.sub, claims.job), "x", (now, timedelta(days=1)))}


BROKEN = {
    "asks nobody for a token, and spaces its manifest": (
        Departure(Open, after={"sign_commitment": spaced}),
        {"get.no-token-401", "get.forged-token-401", "get.foreign-token-403", "manifest.canonical"},
    ),
    "gives tokens for a day, and describes another store": (
        Departure(answering(day_long), after={"write_store": another_store}),
        {"token.lifetime", "store.root-attributes", "store.array-metadata.2t", "store.coordinates"},
    ),
    "redirects": (Departure(serving_otherwise(moved)), {"get.no-redirect"}),
    "zips": (Departure(serving_otherwise(zipped)), {"get.no-content-coding"}),
    "sends in parts without a length": (Departure(serving_otherwise(in_parts)), {"get.content-length"}),
    "decorates its headers, and fills what is absent": (
        Departure(serving_otherwise(decorated)),
        {"get.absent-404", "chunk.served", "headers.limits"},
    ),
    "serves one reader at a time, and flips bits after it signed": (
        Departure(OneAtATime, after={"sign_commitment": flipped}),
        {"get.parallel-4", "chunk.digest"},
    ),
    "writes chunks that decode to nothing": (Departure(after={"run_inference": garbage}), {"chunk.decodes"}),
    "writes °C, holes and northward rows": (
        Departure(after={"run_inference": bad_weather}),
        {"chunk.bounds", "chunk.finite", "chunk.placed"},
    ),
    "begins at the date line": (
        Departure(after={"run_inference": fields_of("z", lambda values: np.roll(values, 32, axis=1))}),
        {"chunk.placed"},
    ),
    "adds an object": (
        Departure(after={"write_store": with_a_stranger}, options=HASTY),
        {"commitment.counts", "manifest.paths", "push.accepted"},
    ),
}


@pytest.mark.parametrize(("departure", "expected"), BROKEN.values(), ids=BROKEN)
async def test_broken_store_fails_its_checks_and_no_others(
    scene: Scene, departure: Departure, expected: set[str]
) -> None:
    report = await scene.examine(departure)
    assert failed(report) == expected, [one for one in report.checks if one.result == "fail"]
    assert "eyJ" not in report.model_dump_json(), "a token is shown"
