"""`/live` and `/ready` of a pod: whether its event loop answers, and whether all that it needs does."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp
from temporalio.client import Client

from adapters.ledger.engine import Ledger
from adapters.object_store import ObjectStore
from adapters.telemetry import scrub
from adapters.temporal_server import namespace_problem
from weather.faults import Fault, PlatformFault

LIMIT_SECONDS = 2.0
KEPT_SECONDS = 1.0
OK = "ok"

Look = Callable[[], Awaitable[None]]


class Readiness:
    """Looks at everything side by side when it is asked; the answer holds for a second."""

    def __init__(self, looks: Mapping[str, Look]) -> None:
        self._looks, self._since = looks, 0.0
        self._asked: asyncio.Task[dict[str, str]] | None = None

    def beside(self, app: ASGIApp) -> ASGIApp:
        """The app, with both routes at its root."""
        return Starlette(routes=[Route("/live", _live), Route("/ready", self._ready), Mount("", app)])

    async def _ready(self, _: Request) -> Response:
        now = asyncio.get_running_loop().time()
        if self._asked is None or (self._asked.done() and now - self._since > KEPT_SECONDS):
            self._asked, self._since = asyncio.create_task(self._look()), now
        found = await asyncio.shield(self._asked)
        return JSONResponse(found, 200 if set(found.values()) == {OK} else 503)

    async def _look(self) -> dict[str, str]:
        return dict(zip(self._looks, await asyncio.gather(*map(_told, self._looks.values())), strict=True))


def readiness(ledger: Ledger, store: ObjectStore, client: Client) -> Readiness:
    """What a `control` pod needs; each blocking look has one thread, which one that hangs keeps to itself."""

    async def temporal() -> None:
        if why := await namespace_problem(client):
            raise PlatformFault(why)

    return Readiness(
        {"ledger": _threaded(ledger.require_ready), "temporal": temporal, "object store": _threaded(store.probe)}
    )


async def _live(_: Request) -> Response:
    return JSONResponse({"status": OK})


async def _told(look: Look) -> str:
    try:
        async with asyncio.timeout(LIMIT_SECONDS):
            await look()
    except TimeoutError:
        return f"no answer within {LIMIT_SECONDS:.0f} s"
    except (Fault, RuntimeError) as error:  # the latter from a client that was never connected
        return scrub(str(error))
    return OK


def _threaded(look: Callable[[], None]) -> Look:
    thread = ThreadPoolExecutor(1)

    async def looked() -> None:
        await asyncio.get_running_loop().run_in_executor(thread, look)

    return looked
