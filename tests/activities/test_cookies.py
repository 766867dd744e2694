"""Peers may set cookies as they like: none is parsed and none comes back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from tests.hostile_miner import Server, loopback, running


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running() as served:
        yield served


@pytest.mark.parametrize("cookie", ["a=b", "a=b; Max-Age=" + "9" * 400])
async def test_a_cookie_is_neither_parsed_nor_sent_back(server: Server, cookie: str) -> None:
    seen = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(Request(scope).headers.get("cookie"))
        await Response(headers={"Set-Cookie": cookie})(scope, receive, send)

    server.app = app
    async with loopback().client(server.url) as client:
        assert [(await client.get("/")).status_code for _ in range(2)] == [200, 200]
    assert seen == [None, None]
