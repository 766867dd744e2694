"""The archive as an HTTP application and as a process."""

from __future__ import annotations

import contextlib
import hashlib
import re
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock

import uvicorn
from pydantic import AwareDatetime, BaseModel, ConfigDict, TypeAdapter
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from adapters.archive_server.gfs_files import GfsFiles
from adapters.archive_server.troubles import Trouble, error_answer, spoilt, taken
from adapters.archive_server.world import AnalysesWorld, PlanetWorld, World
from adapters.archive_server.zarr_stores import ClimatologyStore, Era5Store
from adapters.clock import Clock
from adapters.grib_decoder import GribDecoder
from protocol.layout import load_layout

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
    steered: bool = False


class _NowIs(BaseModel):
    model_config = ConfigDict(extra="forbid")

    now: AwareDatetime


def archive_app(
    world: World, product: str, bits: int = 16, *, now: datetime | None = None, steered: bool = False
) -> Starlette:
    """Serve a world: GFS under `/gfs.…`, Zarr under `/era5` and `/climatology`.

    Without a `now` it is the system clock's. Who may steer it sets it by `POST /now`, and spoils answers by
    `POST /troubles`.
    """
    troubles, turn = list[Trouble](), Lock()
    stores = {store.root: store for store in (Era5Store(world), ClimatologyStore(world))}
    files = GfsFiles(world, product, bits)

    def serve_object(request: Request) -> Response:
        path, time = request.path_params["path"], now or Clock().now()
        span = request.headers.get("range")
        root, _, rest = path.partition("/")
        data = stores[root].get(rest, time) if root in stores else files.get(path, time)
        with turn:
            trouble = taken(troubles, path, span is not None)
        answer = _answer(data, span or "")
        return spoilt(answer, trouble) if trouble else answer

    async def set_now(request: Request) -> Response:
        nonlocal now
        now = _NowIs.model_validate_json(await request.body()).now.astimezone(UTC)
        return Response(status_code=204)

    async def set_troubles(request: Request) -> Response:
        troubles[:] = _TROUBLES.validate_json(await request.body())
        return Response(status_code=204)

    steering = [Route("/now", set_now, methods=["POST"]), Route("/troubles", set_troubles, methods=["POST"])]
    return Starlette(routes=[*(steering if steered else []), Route("/{path:path}", serve_object, methods=["GET"])])


def run(settings: ArchiveSettings) -> None:
    """Show the world of the settings until the process is told to stop."""
    with contextlib.closing(GribDecoder()) as decoder:
        grid = load_layout(settings.grid_name, settings.layouts).grid_value
        world = (
            PlanetWorld(settings.seed, grid, settings.levels)
            if settings.analyses is None
            else AnalysesWorld(settings.analyses, grid, settings.levels, decoder.decode_any)
        )
        app = archive_app(world, settings.product, settings.bits, steered=settings.steered)
        uvicorn.run(app, host=settings.host, port=settings.port, log_level="warning")


def _answer(data: bytes | None, span: str) -> Response:
    if data is None:
        return error_answer(404)
    headers = {"accept-ranges": "bytes", "etag": f'"{hashlib.sha256(data).hexdigest()[:32]}"'}
    parts = re.fullmatch(r"bytes=(\d*)-(\d*)", span)
    if not parts or parts[1] == parts[2] == "":
        return Response(data, 200, headers, media_type="application/octet-stream")
    size = len(data)
    start = int(parts[1]) if parts[1] else max(0, size - int(parts[2]))
    stop = min(size, int(parts[2]) + 1) if parts[1] and parts[2] else size
    if not start < stop:
        return Response(status_code=416, headers={"content-range": f"bytes */{size}"})
    headers["content-range"] = f"bytes {start}-{stop - 1}/{size}"
    return Response(data[start:stop], 206, headers, media_type="application/octet-stream")
