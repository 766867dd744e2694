"""Troubles on demand: answers that a real archive gives on a bad day."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Literal

import anyio
from pydantic import BaseModel, ConfigDict
from starlette.responses import HTMLResponse, Response, StreamingResponse

_CODES = {403: "AccessDenied", 404: "NoSuchKey", 503: "SlowDown"}


class Trouble(BaseModel):
    """What befalls the next `times` answers (all, if None) below a path.

    `status` answers with that code, `html` with a page and 200, `slow` sends one byte at a time.
    """

    model_config = ConfigDict(extra="forbid")

    path_prefix: str
    kind: Literal["status", "html", "slow", "short", "long", "bit_flip", "wrong_range"]
    times: int | None = None
    ranges_only: bool = False
    status: int = 503
    retry_after: int | None = None
    seconds_per_byte: float = 1.0


def taken(troubles: list[Trouble], path: str, has_range: bool) -> Trouble | None:
    """The first trouble that waits for this request, counted down."""
    for trouble in troubles:
        if path.startswith(trouble.path_prefix) and trouble.times != 0 and has_range >= trouble.ranges_only:
            trouble.times = None if trouble.times is None else trouble.times - 1
            return trouble
    return None


def error_answer(status: int, headers: dict[str, str] | None = None) -> Response:
    code = _CODES.get(status, "Trouble")
    text = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code></Error>'
    return Response(text, status, headers, media_type="application/xml")


def spoilt(answer: Response, trouble: Trouble) -> Response:
    body, headers = bytes(answer.body), dict(answer.headers)
    del headers["content-length"]
    middle = len(body) // 2
    match trouble.kind:
        case "status":
            waits = {} if trouble.retry_after is None else {"retry-after": str(trouble.retry_after)}
            return error_answer(trouble.status, waits | ({"location": "/"} if 300 <= trouble.status < 400 else {}))
        case "html":
            return HTMLResponse("<html><body>Please show that you are human.</body></html>")
        case "slow":
            return StreamingResponse(_drip(body, trouble.seconds_per_byte), answer.status_code, answer.headers)
        case "short":
            body = body[:middle]
        case "long":
            body = body + b"7777"
        case "bit_flip":
            body = body[:middle] + bytes([body[middle] ^ 1]) + body[middle + 1 :]
        case "wrong_range":
            headers["content-range"] = f"bytes 0-{len(body) - 1}/*"
    return Response(body, answer.status_code, headers)


async def _drip(body: bytes, seconds_per_byte: float) -> AsyncIterator[bytes]:
    for position in range(len(body)):
        await anyio.sleep(seconds_per_byte)
        yield body[position : position + 1]
