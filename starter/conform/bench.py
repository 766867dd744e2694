"""What checks work with: who asks whom for what, and the wire between them."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from adapters.egress import check_head, has_content_coding, read_limited
from adapters.telemetry import scrub
from protocol import names
from protocol.canonical import J
from protocol.identity import PrivateKey
from protocol.jws import seal
from protocol.layout import Layout
from protocol.messages import KERCHUNK_MAX_BYTES, ForecastRequestData
from protocol.problems import MEDIA_TYPE, Problem, Refusal
from protocol.registry import RosterEntry
from protocol.tokens import REQUEST, Answer, verify_answer
from starter.conform.book import require
from starter.conform.validator import Validator
from weather.faults import BadAnswer
from weather.fields import Field

FORECAST, KERCHUNK, RECEIPT = "weather-forecast-request", "weather-kerchunk-request", "weather-receipt"
CALL_SECONDS = 30
SLOWEST = 256 * 1024  # bytes per second
BUSY = Refusal("NotReady", "the first push is always answered so").problem("/weather-commitment")


@dataclass(frozen=True)
class Letter:
    """A POST as it is sent; `nonce` is that of the body."""

    path: str
    nonce: str
    body: bytes
    token: str | None = None
    media_type: str = "application/json"


@dataclass(frozen=True)
class Heard:
    """An answer as it came, read in full."""

    response: httpx.Response
    body: bytes
    first_byte_seconds: float

    @property
    def status(self) -> int:
        return self.response.status_code

    def __str__(self) -> str:
        said = scrub(self.body.decode(errors="replace"))
        return f"{self.status} {self.response.headers.get('content-type', '')}: {said[:150]!r}"

    def refused(self, *codes: str) -> None:
        """Require a problem document with one of the codes."""
        expected = f"{MEDIA_TYPE}: {' or '.join(codes)}"
        require(self.response.headers.get("content-type") == MEDIA_TYPE, self, expected)
        found = Problem.parse(self.body)
        require(found.status == self.status and found.code in codes, self, expected)


class Pushes:
    """The validator's HTTP side: call 3 is first answered with 503; notes how it is, `said` is the last answer."""

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


@dataclass(frozen=True)
class Bench:
    """One miner under examination, and the validator that examines it.

    `analysis` is one field at the init time; `heard` are all answers so far.
    """

    validator: Validator
    miner: RosterEntry
    call: ForecastRequestData
    layout: Layout
    analysis: Field
    pushes: Pushes
    client: httpx.AsyncClient
    heard: list[Heard] = field(default_factory=list)

    def now(self) -> datetime:
        return self.validator.wiring.clock.now()

    @property
    def second(self) -> int:
        """Now, as tokens say it."""
        return int(self.now().timestamp())

    def elsewhere(self, **changes: Any) -> dict[str, Any]:
        """The call of another run, which is never played, with these members changed."""
        run_id = names.run_id(self.call.gfs_init_time, f"{names.parse_run_id(self.call.run_id).campaign}-b")
        other = self.call.model_copy(update={"run_id": run_id, **changes})
        return other.addressed_to(self.miner.hotkey).value

    def letter(self, path: str, data: Mapping[str, Any]) -> Letter:
        """A good request."""
        nonce = str(uuid4())
        return self.signed(Letter(path, nonce, json.dumps({"nonce": nonce, "data": data}).encode()))

    def signed(self, letter: Letter, key: PrivateKey | None = None, typ: str = REQUEST, **claims: Any) -> Letter:
        """The letter with a good token but for these claims; one that is None is left out."""
        own = {
            "iss": self.validator.hotkey,
            "aud": self.miner.hotkey,
            "iat": self.second,
            "exp": self.second + 60,
            "jti": letter.nonce,
            "method": "POST",
            "path": f"{urlsplit(self.miner.base_url).path}/{letter.path}",
            "body_sha256": hashlib.sha256(letter.body).hexdigest(),
        }
        said = {name: value for name, value in (own | claims).items() if value is not None}
        return replace(letter, token=seal(key or self.validator.key, typ, J(said)))

    async def ask(self, path: str, data: Mapping[str, Any], key: PrivateKey | None = None) -> Heard:
        """The answer to a good request, 2xx or not; it must prove to be the miner's."""
        letter = self.letter(path, data)
        heard = await self.post(self.signed(letter, key))
        check_head(heard.response)
        token = heard.response.headers.get("barograph-answer")
        if token is None or has_content_coding(heard.response):
            raise BadAnswer("no answer token, or a content coding", found=heard)
        answer = Answer(self.validator.hotkey, letter.nonce, heard.status, heard.body)
        verify_answer(token, answer, self.miner.hotkey, self.now())
        return heard

    async def post(self, letter: Letter) -> Heard:
        """Whatever the answer is."""
        headers = {"Content-Type": letter.media_type}
        headers |= {} if letter.token is None else {"Authorization": f"Bearer {letter.token}"}
        return await self.hear("POST", letter.path, KERCHUNK_MAX_BYTES, headers=headers, content=letter.body)

    async def get(self, path: str, token: str | None, most_bytes: int = KERCHUNK_MAX_BYTES) -> Heard:
        """An object of the store, or whatever else the answer is."""
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        return await self.hear("GET", f"zarr/{self.call.job_id}/{path}", most_bytes, headers=headers)

    async def hear(self, method: str, path: str, most_bytes: int, **sent: Any) -> Heard:
        """Whatever the answer to any request is, if it is not too large and not too slow."""
        began = time.monotonic()
        async with asyncio.timeout(CALL_SECONDS + most_bytes / SLOWEST), self.client.stream(method, path, **sent) as on:
            first_byte_seconds = time.monotonic() - began
            heard = Heard(on, await read_limited(on, most_bytes), first_byte_seconds)
        self.heard.append(heard)
        return heard
