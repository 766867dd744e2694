"""The validator's HTTP side for one miner: the first push is told to come again."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from protocol.problems import MEDIA_TYPE, Refusal

BUSY = Refusal("NotReady", "the first push is always answered so").problem("/weather-commitment")


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
