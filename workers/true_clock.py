"""The HTTP side is silent while its clock is known to be wrong: an instant that it signed would be wrong too."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import timedelta

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from adapters.http_service import hang_up, problem_of
from protocol.problems import Refusal

LARGEST_OFFSET = timedelta(seconds=1)
ASK_EVERY_SECONDS = 64.0

log = logging.getLogger("barograph.clock")


class TrueClock:
    """What was last measured of the clock's offset; nothing is known before."""

    def __init__(self) -> None:
        self.offset = timedelta(0)

    @property
    def off(self) -> bool:
        """Whether the offset is known to be above the limit."""
        return abs(self.offset) > LARGEST_OFFSET

    async def watch(self, measure: Callable[[], timedelta]) -> None:
        """Measure again and again; what can not be measured is as it was."""
        while True:
            try:
                self.offset = await asyncio.to_thread(measure)
            except OSError as error:
                log.warning("the clock's offset is not known: %s", error)
            if self.off:
                log.error("the clock is off by %s: the HTTP side answers 503", self.offset)
            await asyncio.sleep(ASK_EVERY_SECONDS)

    def guarding(self, app: ASGIApp) -> ASGIApp:
        """The app, or 503 while the clock is off."""

        async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
            answer: ASGIApp = app
            if scope["type"] == "http" and self.off:
                wrong = Refusal("NotReady", "our clock is off", found=self.offset, expected=f"at most {LARGEST_OFFSET}")
                answer = hang_up(problem_of(Request(scope), wrong))
            await answer(scope, receive, send)

        return guarded
