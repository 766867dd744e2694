"""Attacks on the served bytes (gallery rows 9, 10, 15 to 18, 23, 24, 29)."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncGenerator

import zstandard
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse

from protocol.store import array_metadata
from tests.attacks.honest import Miner, Objects

CASE = "2t/c/3/0/0"


class SpoilsOneChunk(Miner):
    """Serves one scored chunk (2t at 24 h) otherwise than it should."""

    scope = "case"

    async def serve(self, request: Request, path: str) -> Response:
        return await self.spoiled() if path == CASE else await super().serve(request, path)

    async def spoiled(self) -> Response:
        return Response(self.changed(), media_type="application/octet-stream")

    def changed(self) -> bytes:
        return self.objects[CASE]


class FlipsAByte(SpoilsOneChunk):
    code = "ObjectDigestMismatch"

    def changed(self) -> bytes:
        body = self.objects[CASE]
        return body[:-1] + bytes([body[-1] ^ 1])


class SwapsAChunk(SpoilsOneChunk):
    code = "ObjectLengthMismatch"

    def changed(self) -> bytes:
        own = len(self.objects[CASE])
        return next(body for path, body in self.objects.items() if "/c/" in path and len(body) != own)


class HidesAChunk(SpoilsOneChunk):
    code = "ObjectAbsent"

    async def spoiled(self) -> Response:
        return Response(status_code=404)


class HidesAChunkOnce(SpoilsOneChunk):
    async def spoiled(self) -> Response:
        return Response(status_code=404) if self.gets[CASE] == 1 else await super().spoiled()


class ServesOtherBytesTheSecondTime(SpoilsOneChunk):
    async def spoiled(self) -> Response:
        return await super().spoiled() if self.gets[CASE] == 1 else Response(b"other")


class BreaksOff(SpoilsOneChunk):
    code = "TransferFailed"

    async def spoiled(self) -> Response:
        async def half() -> AsyncGenerator[bytes]:
            yield self.objects[CASE][:100]
            raise ConnectionResetError

        return StreamingResponse(half(), headers={"Content-Length": str(len(self.objects[CASE]))})


class DeclaresOneByteMore(SpoilsOneChunk):
    code = "ObjectLengthMismatch"

    def changed(self) -> bytes:
        return self.objects[CASE] + b"x"


class DeclaresNoLength(SpoilsOneChunk):
    code = "ObjectLengthMismatch"

    async def spoiled(self) -> Response:
        async def whole() -> AsyncGenerator[bytes]:
            yield self.objects[CASE]

        return StreamingResponse(whole())


class ZipsABomb(SpoilsOneChunk):
    code = "ContentCodingRefused"

    async def spoiled(self) -> Response:
        return Response(gzip.compress(bytes(50_000_000)), headers={"Content-Encoding": "gzip"})


class DripsAByteASecond(SpoilsOneChunk):
    code = "TransferSlow"

    async def spoiled(self) -> Response:
        async def drip() -> AsyncGenerator[bytes]:
            for byte in self.objects[CASE]:
                yield bytes([byte])
                await asyncio.sleep(1)

        return StreamingResponse(drip(), headers={"Content-Length": str(len(self.objects[CASE]))})


class RedirectsAChunk(SpoilsOneChunk):
    scope, code = "lead", "Redirected"

    async def spoiled(self) -> Response:
        return RedirectResponse(self.world.trap_url)


class CommitsToASpoiledChunk(Miner):
    """Commits to a chunk that does not decode to a field; 2t is coded by zstd."""

    scope, code = "case", "DecodeFailed"

    def spoil_objects(self, objects: Objects) -> Objects:
        layout = self.layout
        for lead in layout.lead_time_hours:
            values = self.values("2t", 0, lead).astype("<f4").tobytes()
            objects[layout.chunk_path("2t", 0, lead)] = zstandard.compress(values)
        return objects | {"2t/zarr.json": array_metadata(layout, "2t", "zstd"), CASE: self.changed(objects[CASE])}

    def changed(self, chunk: bytes) -> bytes:
        return chunk[:-20]


class DeclaresABomb(CommitsToASpoiledChunk):
    code = "DecodedSizeRefused"

    def changed(self, chunk: bytes) -> bytes:
        return zstandard.compress(bytes(200_000_000))


class DeclaresNoContentSize(CommitsToASpoiledChunk):
    code = "DecodedSizeRefused"

    def changed(self, chunk: bytes) -> bytes:
        raw = self.values("2t", 0, 24).astype("<f4").tobytes()
        return zstandard.ZstdCompressor(write_content_size=False).compress(raw)


class AppendsAFrame(CommitsToASpoiledChunk):
    def changed(self, chunk: bytes) -> bytes:
        return chunk + zstandard.compress(b"x")


class CutsPcodec(Miner):
    scope, code, share = "case", "DecodeFailed", 0.5

    def chunk(self, variable: str, level: int, lead: int) -> bytes:
        whole = super().chunk(variable, level, lead)
        return whole[: int(len(whole) * self.share)] if (variable, lead) == ("2t", 24) else whole


class CutsPcodecEarly(CutsPcodec):
    share = 0.1


class CutsPcodecLate(CutsPcodec):
    share = 0.999


class DropsItsLongLeads(Miner):
    """Serves day 1, then withholds everything of the final lead."""

    scope, code = "lead", "ObjectAbsent"

    async def serve(self, request: Request, path: str) -> Response:
        final = "/c/3/" in path and not path.startswith(("latitude", "longitude"))
        return Response(status_code=404) if final else await super().serve(request, path)


class AddsAnAttribute(Miner):
    """Not an attack: further attributes are allowed."""

    def spoil_objects(self, objects: Objects) -> Objects:
        metadata = json.loads(objects["2t/zarr.json"])
        metadata["attributes"]["model"] = "mine"
        return objects | {"2t/zarr.json": json.dumps(metadata).encode()}


ATTACKS = (
    FlipsAByte,
    SwapsAChunk,
    HidesAChunk,
    HidesAChunkOnce,
    ServesOtherBytesTheSecondTime,
    BreaksOff,
    DeclaresOneByteMore,
    DeclaresNoLength,
    ZipsABomb,
    DripsAByteASecond,
    RedirectsAChunk,
    CommitsToASpoiledChunk,
    DeclaresABomb,
    DeclaresNoContentSize,
    AppendsAFrame,
    CutsPcodec,
    CutsPcodecEarly,
    CutsPcodecLate,
    DropsItsLongLeads,
    AddsAnAttribute,
)
