"""The archive as an HTTP application and as a process."""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import uvicorn
from pydantic import AwareDatetime, BaseModel, ConfigDict, TypeAdapter
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from adapters.archive_server.analyses import AnalysesWorld
from adapters.archive_server.byte_cache import ByteCache
from adapters.archive_server.gfs_files import GfsFiles
from adapters.archive_server.troubles import Trouble, Troubles, error_answer, spoil
from adapters.archive_server.world import PlanetWorld, World
from adapters.archive_server.zarr_stores import ClimatologyStore, Era5Store
from adapters.clock import SystemClock
from adapters.grib_decoder import GribDecoder
from protocol.layout import load_layout

_CACHE_LIMIT_BYTES = 128 * 1024 * 1024
_TROUBLES = TypeAdapter(list[Trouble])


class ArchiveSettings(BaseModel):
    """Settings of `barograph archive serve`.

    `layouts` is an extra folder of grids; with `analyses`, a folder of GRIB files, they are shown and not the planet.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = "127.0.0.1"
    port: int
    grid_name: str
    levels: tuple[int, ...]
    seed: int
    product: str
    bits: int = 16
    layouts: Path | None = None
    analyses: Path | None = None
    now_is_settable: bool = False


class SettableNow:
    """The system clock until a time is set, which then stands still."""

    def __init__(self) -> None:
        self._at: datetime | None = None

    def __call__(self) -> datetime:
        return self._at or SystemClock().now()

    def set(self, at: datetime) -> None:
        self._at = at.astimezone(UTC)


class _NowIs(BaseModel):
    model_config = ConfigDict(extra="forbid")

    now: AwareDatetime


def archive_app(world: World, now: Callable[[], datetime], product: str, bits: int = 16) -> Starlette:
    """Serve a world: GFS under `/gfs.…`, Zarr under `/era5` and `/climatology`; `POST /troubles`, `POST /now`."""
    read, troubles = _reader(world, product, bits), Troubles()

    def serve_object(request: Request) -> Response:
        path, span = request.path_params["path"], request.headers.get("range")
        trouble = troubles.take(path, span is not None)
        answer = _answer(read(path, now()), span)
        return spoil(trouble, answer) if trouble else answer

    async def set_troubles(request: Request) -> Response:
        troubles.replace(_TROUBLES.validate_json(await request.body()))
        return Response(status_code=204)

    async def set_now(request: Request) -> Response:
        if not isinstance(now, SettableNow):
            return Response(status_code=403)
        now.set(_NowIs.model_validate_json(await request.body()).now)
        return Response(status_code=204)

    return Starlette(
        routes=[
            Route("/troubles", set_troubles, methods=["POST"]),
            Route("/now", set_now, methods=["POST"]),
            Route("/{path:path}", serve_object, methods=["GET"]),
        ]
    )


def run(settings: ArchiveSettings) -> None:
    """Show the world of the settings until the process is told to stop."""
    now = SettableNow() if settings.now_is_settable else SystemClock().now
    with contextlib.closing(GribDecoder.start()) as decoder:
        grid = load_layout(settings.grid_name, settings.layouts).grid_value
        world = (
            PlanetWorld(settings.seed, grid, settings.levels)
            if settings.analyses is None
            else AnalysesWorld(settings.analyses, grid, settings.levels, decoder.decode_any)
        )
        app = archive_app(world, now, settings.product, settings.bits)
        uvicorn.run(app, host=settings.host, port=settings.port, log_level="warning")


def _reader(world: World, product: str, bits: int) -> Callable[[str, datetime], bytes | None]:
    cache = ByteCache(_CACHE_LIMIT_BYTES)
    stores = {store.root: store for store in (Era5Store(world, cache), ClimatologyStore(world, cache))}
    files = GfsFiles(world, product, bits, cache)

    def read(path: str, now: datetime) -> bytes | None:
        root, _, rest = path.partition("/")
        return stores[root].get(rest, now) if root in stores else files.get(path, now)

    return read


def _answer(data: bytes | None, span: str | None) -> Response:
    if data is None:
        return error_answer(404)
    headers = {"accept-ranges": "bytes", "etag": f'"{hashlib.sha256(data).hexdigest()[:32]}"'}
    parts = re.fullmatch(r"bytes=(\d*)-(\d*)", span or "")
    if not parts or parts[1] == parts[2] == "":
        return Response(data, 200, headers, media_type="application/octet-stream")
    size = len(data)
    start = int(parts[1]) if parts[1] else max(0, size - int(parts[2]))
    stop = min(size, int(parts[2]) + 1) if parts[1] and parts[2] else size
    if not start < stop:
        return Response(status_code=416, headers={"content-range": f"bytes */{size}"})
    headers["content-range"] = f"bytes {start}-{stop - 1}/{size}"
    return Response(data[start:stop], 206, headers, media_type="application/octet-stream")
