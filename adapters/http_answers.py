"""What an archive's answer means: served, throttled, absent, still growing, wrong, or a broken connection."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import StrEnum

import httpx

_WAIT = timedelta(seconds=60)
_LONGEST_WAIT = timedelta(minutes=15)
_HEAD_BYTES = 512
_HTML = re.compile(rb"\s*<(!doctype html|html)", re.IGNORECASE)
_TRANSPORT = frozenset({408, 425})


class Verdict(StrEnum):
    OK = "ok"
    THROTTLED = "throttled"
    ABSENT = "absent"
    GROWING = "growing"
    CORRUPT = "corrupt"
    TRANSPORT = "transport"


@dataclass(frozen=True)
class Ask:
    """A request: of a whole small object, of `span` (first byte, end, size of the file), or for headers only."""

    url: str
    most_bytes: int = 0
    span: tuple[int, int, int] | None = None

    @property
    def method(self) -> str:
        return "GET" if self.most_bytes or self.span else "HEAD"

    @property
    def read_bytes(self) -> int:
        return (self.span[1] - self.span[0] if self.span else self.most_bytes) + 1


@dataclass(frozen=True)
class Answer:
    """What came back; `status` 0 is no answer at all, and `body` then says why."""

    ask: Ask
    status: int
    headers: httpx.Headers
    body: bytes

    @property
    def verdict(self) -> Verdict:
        """Judged on status, headers, then the body's beginning and length."""
        if 200 <= self.status < 300:
            return self._served()
        head = self.body[:_HEAD_BYTES]
        if self.status in (301, 302, 303, 307, 308, 429) or (self.status == 503 and b"SlowDown" in head):
            return Verdict.THROTTLED
        told_absent = b"NoSuchKey" in head or b"AccessDenied" in head or self.ask.method == "HEAD"
        if self.status == 404 or (self.status == 403 and told_absent):
            return Verdict.ABSENT
        if self.status == 416:
            return Verdict.GROWING
        return Verdict.TRANSPORT if self.status in _TRANSPORT or not 100 <= self.status < 500 else Verdict.CORRUPT

    def _served(self) -> Verdict:
        kind = self.headers.get("content-type", "")
        if kind.startswith("text/html") or _HTML.match(self.body):
            return Verdict.THROTTLED
        if self.headers.get("content-encoding", "identity") != "identity" or kind.startswith("multipart/"):
            return Verdict.CORRUPT
        if self.ask.span is None:
            return Verdict.OK if self.status == 200 else Verdict.CORRUPT
        first, end, size = self.ask.span
        exact = self.headers.get("content-range") == f"bytes {first}-{end - 1}/{size}"
        return Verdict.OK if self.status == 206 and exact and len(self.body) == end - first else Verdict.CORRUPT

    def retry_after(self, now: datetime) -> timedelta:
        """The wait that the archive named, else a minute."""
        value = self.headers.get("retry-after", "").strip()
        if value.isascii() and value.isdigit():
            return min(timedelta(seconds=int(value[:9])), _LONGEST_WAIT)
        try:
            return min(max(parsedate_to_datetime(value) - now, timedelta(0)), _LONGEST_WAIT)
        except (ValueError, TypeError):  # TypeError: a date without a zone
            return _WAIT

    def __str__(self) -> str:
        head = self.body[:_HEAD_BYTES].decode("ascii", "backslashreplace")
        return f"status {self.status}, {len(self.body)} bytes: {head if self.verdict != Verdict.OK else ''}"


async def send(client: httpx.AsyncClient, ask: Ask, seconds: float) -> Answer:
    """One request without redirects, whole in time; a body is read to one byte more than it may have."""
    headers = {"Accept-Encoding": "identity"}
    if ask.span:
        headers["Range"] = f"bytes={ask.span[0]}-{ask.span[1] - 1}"
    body = bytearray()
    try:
        async with (
            asyncio.timeout(seconds),
            client.stream(ask.method, ask.url, headers=headers, follow_redirects=False) as response,
        ):
            async for chunk in response.aiter_raw():
                body += chunk[: ask.read_bytes - len(body)]
                if len(body) >= ask.read_bytes:
                    break
    except (httpx.TransportError, TimeoutError) as error:
        return Answer(ask, 0, httpx.Headers(), f"{type(error).__name__}: {error}".encode())
    return Answer(ask, response.status_code, response.headers, bytes(body))
