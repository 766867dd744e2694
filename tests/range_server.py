"""A real HTTP server of a folder, with ranges as archives serve them, and with recorded answers in place of files."""

from __future__ import annotations

import asyncio
import re
import socket
import struct
import threading
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

Override = Callable[[Request], "Response | None"]


@dataclass
class RangeServer:
    """`overrides` are asked first, by the beginning of the path; `requests` are what came, in order."""

    root: Path
    url: str
    overrides: dict[str, Override] = field(default_factory=dict)
    requests: list[tuple[str, str, str | None]] = field(default_factory=list)

    def answer(self, request: Request) -> Response:
        path = request.url.path.lstrip("/")
        self.requests.append((request.method, path, request.headers.get("range")))
        for prefix, override in self.overrides.items():
            if path.startswith(prefix) and (response := override(request)) is not None:
                return response
        file = self.root / path
        return _serve(file.read_bytes(), request) if file.is_file() else Response(status_code=404)


def _serve(data: bytes, request: Request) -> Response:
    span = re.fullmatch(r"bytes=(\d+)-(\d+)", request.headers.get("range", ""))
    if span is None:
        return Response(data, media_type="binary/octet-stream")
    first, end = int(span[1]), min(int(span[2]) + 1, len(data))
    headers = {"Content-Range": f"bytes {first}-{end - 1}/{len(data)}"}
    return Response(data[first:end], 206, headers, media_type="binary/octet-stream")


@contextmanager
def range_server(root: Path) -> Generator[RangeServer]:
    # the protocol by its number: only then asyncio switches Nagle's delay off
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        served = RangeServer(root, f"http://127.0.0.1:{listener.getsockname()[1]}")
        app = Starlette(routes=[Route("/{path:path}", served.answer, methods=["GET", "HEAD"])])
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off", ws="none", http="h11"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield served
        finally:
            server.should_exit = True
            thread.join()


@contextmanager
def free_port() -> Generator[int]:
    """A port on which nobody listens while the context is open."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


@dataclass(frozen=True)
class Recorded:
    """One answer byte for byte: head lines, body, and whether the line then goes silent or is reset."""

    head: bytes
    body: bytes = b""
    then: str = "close"


@asynccontextmanager
async def replay(recorded: Recorded) -> AsyncGenerator[str]:
    """Serve the recorded answer to every request."""
    plays: set[asyncio.Task[None] | None] = set()

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        plays.add(asyncio.current_task())
        try:
            await _play(recorded, reader, writer)
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(play, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        ending = [task for task in plays if task is not None]
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)


async def _play(recorded: Recorded, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    if recorded.then == "reset":
        linger = struct.pack("ii", 1, 0)
        writer.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        return
    writer.write(recorded.head.replace(b"\n", b"\r\n") + b"\r\n\r\n" + recorded.body)
    await writer.drain()
    if recorded.then == "silence":
        await reader.read()
    writer.close()
    await writer.wait_closed()
