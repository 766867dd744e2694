"""Troubles on demand: answers that a real archive gives on a bad day."""

from __future__ import annotations

from collections.abc import AsyncIterator
from threading import Lock
from typing import Literal

import anyio
from pydantic import BaseModel, ConfigDict
from starlette.responses import HTMLResponse, Response, StreamingResponse

_CODES = {403: "AccessDenied", 404: "NoSuchKey", 503: "SlowDown"}


class Trouble(BaseModel):
    """What befalls the next `times` answers (all, if None) below a path.

    `status` answers with that code, `html` with a page and 200, `slow` sends one byte at a time.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    path_prefix: str
    kind: Literal["status", "html", "slow", "short", "long", "bit_flip", "wrong_range"]
    times: int | None = None
    ranges_only: bool = False
    status: int = 503
    retry_after: int | None = None
    seconds_per_byte: float = 1.0


class Troubles:
    def __init__(self) -> None:
        self._left: list[tuple[Trouble, int | None]] = []
        self._lock = Lock()

    def replace(self, troubles: list[Trouble]) -> None:
        with self._lock:
            self._left = [(trouble, trouble.times) for trouble in troubles]

    def take(self, path: str, has_range: bool) -> Trouble | None:
        """The first trouble that waits for this request."""
        with self._lock:
            for position, (trouble, left) in enumerate(self._left):
                if path.startswith(trouble.path_prefix) and left != 0 and has_range >= trouble.ranges_only:
                    self._left[position] = (trouble, None if left is None else left - 1)
                    return trouble
        return None


def error_answer(status: int, headers: dict[str, str] | None = None) -> Response:
    code = _CODES.get(status, "Trouble")
    text = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code></Error>'
    return Response(text, status, headers, media_type="application/xml")


def spoil(trouble: Trouble, answer: Response) -> Response:
    body, headers = bytes(answer.body), dict(answer.headers)
    headers.pop("content-length", None)
    match trouble.kind:
        case "status":
            waits = {} if trouble.retry_after is None else {"retry-after": str(trouble.retry_after)}
            return error_answer(trouble.status, waits | ({"location": "/"} if 300 <= trouble.status < 400 else {}))
        case "html":
            return HTMLResponse("<html><body>Please show that you are human.</body></html>")
        case "slow":
            return StreamingResponse(_drip(body, trouble.seconds_per_byte), answer.status_code, answer.headers)
        case "short":
            body = body[: len(body) // 2]
        case "long":
            body = body + b"7777"
        case "bit_flip":
            middle = len(body) // 2
            body = body[:middle] + bytes([body[middle] ^ 1]) + body[middle + 1 :]
        case "wrong_range":
            headers["content-range"] = f"bytes 0-{len(body) - 1}/*"
    return Response(body, answer.status_code, headers)


async def _drip(body: bytes, seconds_per_byte: float) -> AsyncIterator[bytes]:
    for position in range(len(body)):
        await anyio.sleep(seconds_per_byte)
        yield body[position : position + 1]
