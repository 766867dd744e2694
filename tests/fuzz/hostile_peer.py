"""A peer that speaks raw bytes: answers that are nearly HTTP, heads without end, bodies that never stop."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from adapters.clock import Clock
from protocol.tokens import Answer, sign_answer
from tests.hostile_miner import MINER, VALIDATOR

ENDLESS_SECONDS = 4.0
STATUS_LINES = [
    b"HTTP/1.1 200 OK",
    b"HTTP/1.1 202 Accepted",
    b"HTTP/1.0 200 OK",
    b"HTTP/1.1 200 " + b"x" * 70_000,
    b"HTTP/1.1 200 \xff\xfe\x1b[31m",
    b"HTTP/1.1 999 Strange",
    b"HTTP/1.1 000 Zero",
    b"HTTP/1.1 2000 Long",
    b"HTTP/1.1 204 No Content",
    b"HTTP/1.1 304 Not Modified",
    b"HTTP/1.1 301 Moved\r\nLocation: http://127.0.0.1:9/\xff",
    b"HTTP/1.1 401 No",
    b"HTTP/1.1 503 Later\r\nRetry-After: " + b"9" * 5_000,
    b"HTTP/1.1 101 Switching\r\nUpgrade: x",
    b"HTTP/1.1 100 Continue\r\n\r\n" * 2_000 + b"HTTP/1.1 200 OK",
    b"HTTP/2 200",
    b"SSH-2.0-OpenSSH",
    b"\x16\x03\x01\x02\x00\x01",
]
HEADERS = [
    b"Content-Length: 0",
    b"Content-Length: -1",
    b"Content-Length: 1073741824",
    b"Content-Length: " + b"9" * 5_000,
    b"Content-Length: 5, 5",
    b"Content-Length: \xd9\xa3",
    b"Content-Length: 3\r\nContent-Length: 4",
    b"Transfer-Encoding: chunked",
    b"Transfer-Encoding: gzip, chunked",
    b"Content-Encoding: gzip",
    b"Set-Cookie: a=b; Max-Age=" + b"9" * 400,
    b"Set-Cookie: a=b; Expires=Wed, 99 Foo 99999999999999 99:99:99 GMT; Version=\xff",
    b'Set-Cookie2: \xff; Path=/; Port="1,x"',
    b"Barograph-Answer: " + b"e30." * 20_000,
    b"Barograph-Answer: \xff.\xff.\xff",
    b"X: " + b"x" * 40_000,
    b"X: \0",
    b" folded: 1",
    b"no colon",
    b"\r\n".join(b"X-%d: 1" % number for number in range(200)),
    b"\r\n".join(b"X%d:" % number for number in range(10_000)),
]
BODIES = [
    b"FFFFFFFFFFFFFFFF\r\nx",
    b"-5\r\nhello\r\n0\r\n\r\n",
    b"5;" + b"x" * 200_000 + b"\r\nhello\r\n0\r\n\r\n",
    b"0\r\n" + b"T: x\r\n" * 20_000 + b"\r\n",
    b"\x1f\x8b\x08" + bytes(50),
    b"[" * 20_000,
    b"",
]
ENDLESS = [
    b"1000\r\n" + bytes(0x1000) + b"\r\n",
    bytes(65_536),
    b"X: 1\r\n" * 1_000,
    b"HTTP/1.1 100 Continue\r\n\r\n" * 100,
]


@dataclass(frozen=True)
class Script:
    """An answer: its head lines, a body or the honest one, and what follows for ever, if anything."""

    status: bytes
    headers: tuple[bytes, ...]
    body: bytes | None
    endless: bytes | None
    silent: bool
    edits: tuple[tuple[int, int], ...] = ()

    def answer(self, honest: bytes, nonce: str | None) -> bytes:
        body = honest if self.body is None else self.body
        lines = [self.status, *self.headers]
        if nonce is not None:
            token = sign_answer(MINER, Answer(VALIDATOR.hotkey, nonce, 200, body), Clock().now())
            lines.append(b"Barograph-Answer: " + token.encode())
        if not any(b"Content-Length" in line or b"Transfer" in line for line in lines):
            lines.append(b"Content-Length: %d" % len(body))
        head = bytearray(b"\r\n".join(lines) + b"\r\n\r\n")
        for place, value in self.edits:
            head[place % len(head)] = value
        return bytes(head) + body


@st.composite
def scripts(draw: Any) -> Script:
    mostly = st.integers(0, 3)
    status = draw(st.sampled_from(STATUS_LINES)) if draw(mostly) == 0 else STATUS_LINES[0]
    headers = tuple(draw(st.lists(st.sampled_from(HEADERS), max_size=2)))
    body = draw(st.none() | st.sampled_from(BODIES) | st.binary(max_size=60))
    endless = draw(st.sampled_from(ENDLESS)) if draw(mostly) == 0 else None
    edits = draw(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=3))
    return Script(status, headers, body, endless, draw(mostly) == 0, tuple(edits))


@asynccontextmanager
async def peer(script: Script, honest: Callable[[str], bytes]) -> AsyncGenerator[str]:
    """Its base URL; `honest` gives the body for a path."""
    writers: list[asyncio.StreamWriter] = []
    plays: set[Any] = set()

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        plays.add(asyncio.current_task())
        with suppress(
            TimeoutError, ConnectionError, asyncio.IncompleteReadError
        ):  # the client has hung up, as it should
            async with asyncio.timeout(ENDLESS_SECONDS):
                await _play(script, honest, reader, writer)
        writer.transport.abort()

    server = await asyncio.start_server(play, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()
        await asyncio.gather(*plays)


async def _play(
    script: Script, honest: Callable[[str], bytes], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    method, path, _ = head.split("\r\n")[0].split(" ")
    nonce = None
    if method == "POST":
        length = int(head.lower().split("content-length: ")[1].split("\r\n")[0])
        nonce = json.loads(await reader.readexactly(length))["nonce"]
    writer.write(script.answer(honest(path), nonce))
    await writer.drain()
    while script.endless:
        writer.write(script.endless)
        await writer.drain()
    if script.silent:
        await reader.read()
