"""The miner that every attack starts from: honest, committed by pull, with one method for each thing to spoil."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections import Counter
from datetime import timedelta
from functools import cached_property
from itertools import count
from typing import Any, ClassVar

from pcodec import ChunkConfig, standalone  # ty: ignore[missing-module-member] - compiled, without stubs
from starlette.requests import Request
from starlette.responses import Response

from adapters.clock import Clock
from protocol.commitment import Commitment
from protocol.identity import PrivateKey
from protocol.layout import Layout
from protocol.manifest import Manifest
from protocol.messages import ForecastRequestData
from protocol.store import array_metadata, coordinate_chunks, root_metadata
from protocol.tokens import Access, Answer, sign_access, sign_answer
from tests.attacks.world import World
from tests.certificates import Certificate

LEVEL_8 = ChunkConfig(compression_level=8)
Objects = dict[str, bytes]


class Miner:
    """Honest. Subclasses say what they expect: a code, its scope, and how many cases it takes."""

    code: ClassVar[str | None] = None
    scope: ClassVar[str] = "run"
    address: ClassVar[str | None] = None
    pin: str | None = None
    certificate: Certificate | None = None

    def __init__(self, world: World, name: str) -> None:
        self.world, self.name = world, name
        self.key = PrivateKey.from_bytes(hashlib.sha256(f"attacker {name}".encode()).digest())
        self.gets: Counter[str] = Counter()
        self.receipt = b""
        self.port = world.ports.miners
        self.call: ForecastRequestData | None = None
        self.others: dict[str, Miner] = {}
        self._jti = count()
        self.called, self.receipted = asyncio.Event(), asyncio.Event()
        self.chunks = {
            self.layout.chunk_path(variable, level, lead): self.chunk(variable, level, lead)
            for variable, level in self.layout.fields()
            for lead in self.layout.lead_time_hours
        }

    @property
    def base_url(self) -> str:
        """As the registry gives it."""
        return self.address or f"{self.world.miners_url}/{self.name}"

    @property
    def layout(self) -> Layout:
        return self.world.layout

    @property
    def opened(self) -> ForecastRequestData:
        assert self.call is not None
        return self.call

    # what it forecasts

    def values(self, variable: str, level: int, lead: int) -> Any:
        """The values of one field."""
        return self.world.forecast(self.name, lead)[variable, level]

    def chunk(self, variable: str, level: int, lead: int) -> bytes:
        """One encoded field."""
        return standalone.simple_compress(self.values(variable, level, lead).ravel(), LEVEL_8)

    # what it commits to

    @cached_property
    def objects(self) -> Objects:
        """Everything that it commits to."""
        call, layout = self.opened, self.layout
        found: Objects = {f"{name}/zarr.json": array_metadata(layout, name) for name in layout.array_names()}
        found["zarr.json"] = root_metadata(call.identity(self.key.hotkey))
        found |= coordinate_chunks(layout, call.gfs_init_time)
        return self.spoil_objects(found | self.chunks)

    def spoil_objects(self, objects: Objects) -> Objects:
        """Change what is committed to."""
        return objects

    @cached_property
    def manifest(self) -> Manifest:
        """The manifest of the objects."""
        sized = ((path, len(body), hashlib.sha256(body).hexdigest()) for path, body in self.objects.items())
        return Manifest.build(self.opened.job_id, sized)

    def commitment_value(self) -> dict[str, Any]:
        """The members of the commitment."""
        call = self.opened
        return Commitment(
            **call.identity(self.key.hotkey).model_dump(),
            score_spec_digest=call.score_spec_digest,
            input_data_hash=call.input_data_hash,
            root=self.manifest.root,
            object_count=self.manifest.object_count,
            total_bytes=self.manifest.total_bytes,
            salt="4" * 64,
        ).value

    def signature(self, value: dict[str, Any]) -> str:
        """Its signature over the commitment."""
        return Commitment.of_value(value).sign(self.key)

    # what it answers

    async def __call__(self, request: Request) -> Response:
        path = request.url.path.removeprefix(f"/{self.name}")
        if request.method == "GET":
            inside = path.removeprefix(f"/zarr/{self.opened.job_id}/")
            self.gets[inside] += 1
            return await self.serve(request, inside)
        body = json.loads(await request.body())
        if path == "/weather-forecast-request":
            self.call = ForecastRequestData.of_value(body["data"])
            await asyncio.to_thread(lambda: self.manifest)
            self.called.set()
            return await self.requested(request, body["nonce"])
        return await self.polled(request, body["nonce"])

    async def requested(self, request: Request, nonce: str) -> Response:
        """Call 2."""
        return self.signed(nonce, self.received())

    def received(self) -> dict[str, Any]:
        """The body of a good answer to call 2."""
        empty = {"estimated_ready_at": None, "input_data_hash": None, "error": None}
        return {"job_id": self.opened.job_id, "status": "received", **empty}

    async def polled(self, request: Request, nonce: str) -> Response:
        """Call 4, and call 5."""
        if request.url.path.endswith("weather-receipt"):
            self.receipt = await request.body()
            self.receipted.set()
            return self.signed(nonce, {"job_id": self.opened.job_id, "status": "stored"})
        return self.signed(nonce, self.completed())

    def completed(self) -> dict[str, Any]:
        """The body of a good answer to call 4."""
        value = self.commitment_value()
        return {
            "status": "completed",
            "job_id": self.opened.job_id,
            "access_token": self.access_token(),
            "zarr_store_url": f"{self.base_url}/zarr/{self.opened.job_id}/",
            "verification_hash": value.get("root", "0" * 64),
            "commitment": value,
            "signature": self.signature(value),
        }

    def access_token(self) -> str:
        """The token for its store."""
        access = Access(self.key.hotkey, self.world.validator.hotkey, self.opened.job_id)
        return sign_access(self.key, access, f"{next(self._jti)}", (Clock().now(), timedelta(minutes=30)))

    def signed(self, nonce: str, content: object, *, key: PrivateKey | None = None) -> Response:
        """An answer with its token."""
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        answer = Answer(self.world.validator.hotkey, nonce, 200, body)
        token = sign_answer(key or self.key, answer, Clock().now())
        return Response(body, 200, {"Barograph-Answer": token}, "application/json")

    async def serve(self, request: Request, path: str) -> Response:
        """A GET below its store."""
        body = self.manifest.canonical if path == "manifest.json" else self.objects.get(path)
        return Response(status_code=404) if body is None else self.served(path, body)

    def served(self, path: str, body: bytes) -> Response:
        """Bytes that exist."""
        return Response(body, media_type="application/octet-stream")
