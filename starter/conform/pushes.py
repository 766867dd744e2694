"""The validator's HTTP side for one miner: the first push is told to come again."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager, suppress

import uvicorn
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from protocol.problems import MEDIA_TYPE, problem
from weather.faults import ConfigurationInvalid

BUSY = problem("NotReady", "the first push is always answered so", instance="/weather-commitment")


class Pushes:
    """ASGI: notes how call 3 is answered, the first time with 503; `said` is the last answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.statuses: list[int] = []
        self.said = bytearray()
        self._taken = asyncio.Event()

    @property
    def receipts(self) -> int:
        """How many pushes were answered with a receipt."""
        return sum(status < 300 for status in self.statuses)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST":
            return await self._app(scope, receive, send)

        async def note(message: Message) -> None:
            await send(message)
            if message["type"] == "http.response.start":
                self.statuses.append(message["status"])
                self.said.clear()
            self.said += message.get("body", b"")
            if self.receipts:
                self._taken.set()

        busy = Response(BUSY.body, BUSY.status, {"Retry-After": "1"}, MEDIA_TYPE)
        await (self._app if self.statuses else busy)(scope, receive, note)

    async def wait(self, seconds: float) -> None:
        """Until a push was answered with a receipt, at most so many seconds."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._taken.wait(), seconds)


class _Server(uvicorn.Server):
    """Signals are the business of the process, not of the server."""

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


@asynccontextmanager
async def serving(app: ASGIApp, listen: str) -> AsyncGenerator[None]:
    """Serve at `host:port`."""
    host, _, port = listen.rpartition(":")
    try:
        bound = socket.create_server((host, int(port)))
    except (OSError, ValueError) as error:
        raise ConfigurationInvalid(f"cannot listen at {listen}: {error}; choose another --listen") from error
    listener = socket.socket(fileno=bound.detach())  # knows its protocol, so that asyncio sends undelayed
    server = _Server(uvicorn.Config(app, lifespan="off", log_config=None, access_log=False))
    task = asyncio.create_task(server.serve([listener]))
    try:
        yield
    finally:
        server.should_exit = True
        await task
