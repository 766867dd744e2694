"""What the HTTP sides of validator and miner share: a server, a request that is read, an answer that is signed."""

from __future__ import annotations

import asyncio
import socket
from collections import OrderedDict
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime

import uvicorn
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp

from adapters.clock import Clock
from adapters.telemetry import TracedServer
from protocol.identity import PrivateKey
from protocol.names import PROTOCOL, format_time
from protocol.problems import MEDIA_TYPE, Refusal
from protocol.receipt import CommitmentAnswer
from protocol.tokens import Answer, RequestClaims, sign_answer
from weather.faults import ConfigurationInvalid, PlatformFault

BODY_SECONDS = 10.0
CLOSE_CONNECTIONS_SECONDS = 5
RETRY_AFTER_SECONDS = 10


class SeenTokens:
    """The `jti`s of this process, until nobody can use them any more."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._kept: OrderedDict[str, datetime] = OrderedDict()

    def first_use(self, jti: str, kept_until: datetime) -> bool:
        """Keep it; false if it is kept already."""
        while self._kept and next(iter(self._kept.values())) < self._clock.now():
            self._kept.popitem(last=False)
        if jti in self._kept:
            return False
        self._kept[jti] = kept_until
        return True


class _Server(uvicorn.Server):
    """Signals are the business of the process, not of the server."""

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


@asynccontextmanager
async def serving(app: ASGIApp, listener: socket.socket) -> AsyncGenerator[None]:
    """Serve on a bound socket; what was begun has a few seconds to end."""
    config = uvicorn.Config(
        TracedServer(app),
        lifespan="off",
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=CLOSE_CONNECTIONS_SECONDS,
    )
    server = _Server(config)
    task = asyncio.create_task(server.serve([listener]))
    with listener:
        try:
            yield
        finally:
            server.should_exit = True
            await task


def bound(host: str, port: int) -> socket.socket:
    """A socket that listens: who connects waits until it is served."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # named, so that asyncio sends undelayed
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen()
    except (OSError, OverflowError) as error:
        listener.close()
        raise ConfigurationInvalid(f"port {port} of {host}: {error}") from error
    return listener


def bearer(request: Request) -> str:
    """The token of the request."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Refusal("Unauthenticated", "no bearer token")
    return token


async def read_body(request: Request, most_bytes: int) -> bytes:
    """The JSON body, in full and in time."""
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise Refusal("NotAcceptable", "media type", expected="application/json")
    try:
        return await asyncio.wait_for(_limited(request, most_bytes), BODY_SECONDS)
    except (TimeoutError, ClientDisconnect) as error:
        raise Refusal("Malformed", "the body did not come in full", expected=f"in {BODY_SECONDS} s") from error


async def _limited(request: Request, most_bytes: int) -> bytes:
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > most_bytes:
            raise Refusal("TooLarge", "body above its limit", expected=f"{most_bytes} bytes")
    return bytes(body)


def health(status: str, key: PrivateKey, network: str, now: datetime, stale: datetime | None = None) -> Response:
    """Who answers, in which network, the time of its clock, and since when no new round counts if that is long ago."""
    times = {name: format_time(at.replace(microsecond=0)) for name, at in (("time", now), ("stale", stale)) if at}
    return JSONResponse({"status": status, "protocol": [PROTOCOL], "hotkey": key.hotkey, "network": network, **times})


def problem_of(
    request: Request,
    refusal: Refusal | PlatformFault,
    answer: CommitmentAnswer | None = None,
    retry_seconds: int = RETRY_AFTER_SECONDS,
) -> Response:
    """A refusal, or a fault of ours, as RFC 9457 has it, unsigned."""
    if isinstance(refusal, PlatformFault):
        refusal = Refusal("NotReady", str(refusal))
    document = refusal.problem(request.url.path, answer)
    retry = {"Retry-After": str(retry_seconds)} if document.status in (429, 503) else None
    return Response(document.body, document.status, retry, MEDIA_TYPE)


def hang_up(response: Response) -> Response:
    """The rest of the body, if there is one, is not waited for."""
    response.headers["Connection"] = "close"
    return response


def signed(response: Response, key: PrivateKey, claims: RequestClaims, now: datetime) -> Response:
    """The answer to a request whose sender is proved."""
    answer = Answer(claims.iss, claims.jti, response.status_code, bytes(response.body))
    response.headers["Barograph-Answer"] = sign_answer(key, answer, now)
    return response
