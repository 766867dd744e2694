from __future__ import annotations

import gzip
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from adapters.http_answers import Answer, Ask, Verdict, send
from tests.range_server import Recorded, free_port, replay

NOW = datetime(2026, 11, 23, 18, tzinfo=UTC)
BODY = b"GRIB" + bytes(92) + b"7777"
RANGE = b"HTTP/1.1 206 Partial Content\nContent-Type: binary/octet-stream\nContent-Range: bytes 1000-1099/5000\n"
WHOLE = b"Content-Length: 100"
XML = b"<?xml version='1.0'?><Error><Code>%s</Code></Error>"
PAGE = b"<!DOCTYPE html><html><body>Are you a robot?</body></html>"
SECONDS = 1

RECORDED = {
    "the range": (Recorded(RANGE + WHOLE, BODY), "ok"),
    "301": (
        Recorded(b"HTTP/1.1 301 Moved Permanently\nLocation: https://elsewhere.test/\n" + b"Content-Length: 0"),
        "throttled",
    ),
    "302 to a page": (Recorded(b"HTTP/1.1 302 Found\nLocation: /captcha\nContent-Length: 0"), "throttled"),
    "303": (Recorded(b"HTTP/1.1 303 See Other\nLocation: /\nContent-Length: 0"), "throttled"),
    "307": (Recorded(b"HTTP/1.1 307 Temporary Redirect\nLocation: /\nContent-Length: 0"), "throttled"),
    "200 with a page": (Recorded(b"HTTP/1.1 200 OK\nContent-Type: text/html; charset=utf-8", PAGE), "throttled"),
    "206 with an unnamed page": (Recorded(RANGE + b"Content-Length: 57", PAGE), "throttled"),
    "429": (Recorded(b"HTTP/1.1 429 Too Many Requests\nRetry-After: 7\nContent-Length: 0"), "throttled"),
    "503 slow down": (Recorded(b"HTTP/1.1 503 Slow Down", XML % b"SlowDown"), "throttled"),
    "404": (Recorded(b"HTTP/1.1 404 Not Found\nContent-Length: 0"), "absent"),
    "404 page": (Recorded(b"HTTP/1.1 404 Not Found\nContent-Type: text/html", PAGE), "absent"),
    "403 no such key": (Recorded(b"HTTP/1.1 403 Forbidden", XML % b"NoSuchKey"), "absent"),
    "403 access denied": (Recorded(b"HTTP/1.1 403 Forbidden", XML % b"AccessDenied"), "absent"),
    "416": (Recorded(b"HTTP/1.1 416 Range Not Satisfiable\nContent-Range: bytes */900\nContent-Length: 0"), "growing"),
    "200 to a range": (Recorded(b"HTTP/1.1 200 OK\nContent-Length: 5000", BODY * 50), "corrupt"),
    "another range": (Recorded(RANGE.replace(b"1000-1099", b"0-99") + WHOLE, BODY), "corrupt"),
    "range of a file of another size": (Recorded(RANGE.replace(b"/5000", b"/5001") + WHOLE, BODY), "corrupt"),
    "no range": (Recorded(b"HTTP/1.1 206 Partial Content\n" + WHOLE, BODY), "corrupt"),
    "short body": (Recorded(RANGE + b"Content-Length: 99", BODY[:-1]), "corrupt"),
    "long body": (Recorded(RANGE + b"Content-Length: 101", BODY + b"7"), "corrupt"),
    "endless body": (Recorded(RANGE + b"Content-Length: 1000000000", BODY * 9, "silence"), "corrupt"),
    "multipart": (
        Recorded(RANGE.replace(b"binary/octet-stream", b"multipart/byteranges; boundary=x") + WHOLE, BODY),
        "corrupt",
    ),
    "content coding": (
        Recorded(RANGE + b"Content-Encoding: gzip\nContent-Length: %d" % len(gzip.compress(BODY)), gzip.compress(BODY)),
        "corrupt",
    ),
    "400": (Recorded(b"HTTP/1.1 400 Bad Request", XML % b"InvalidArgument"), "corrupt"),
    "401": (Recorded(b"HTTP/1.1 401 Unauthorized\nContent-Length: 0"), "corrupt"),
    "403 without a word": (Recorded(b"HTTP/1.1 403 Forbidden", b"go away"), "corrupt"),
    "410": (Recorded(b"HTTP/1.1 410 Gone\nContent-Length: 0"), "corrupt"),
    "body broken off": (Recorded(RANGE + WHOLE, BODY[:50]), "transport"),
    "silence": (Recorded(RANGE + WHOLE, BODY[:50], "silence"), "transport"),
    "reset": (Recorded(b"", then="reset"), "transport"),
    "not HTTP": (Recorded(b"SSH-2.0-OpenSSH_9.6"), "transport"),
    "408": (Recorded(b"HTTP/1.1 408 Request Timeout\nContent-Length: 0"), "transport"),
    "425": (Recorded(b"HTTP/1.1 425 Too Early\nContent-Length: 0"), "transport"),
    "500": (Recorded(b"HTTP/1.1 500 Internal Server Error", XML % b"InternalError"), "transport"),
    "502": (Recorded(b"HTTP/1.1 502 Bad Gateway\nContent-Type: text/html", PAGE), "transport"),
    "503 without a word": (Recorded(b"HTTP/1.1 503 Service Unavailable\nContent-Length: 0"), "transport"),
    "504": (Recorded(b"HTTP/1.1 504 Gateway Timeout\nContent-Length: 0"), "transport"),
}


@pytest.mark.parametrize("name", RECORDED)
async def test_a_recorded_answer_to_a_range_has_its_verdict(name: str) -> None:
    recorded, verdict = RECORDED[name]
    async with replay(recorded) as url, httpx.AsyncClient(trust_env=False) as client:
        answer = await send(client, Ask(f"{url}/file", span=(1000, 1100, 5000)), SECONDS)
    assert answer.verdict == verdict, str(answer)


INDEX = {
    "whole": (Recorded(b"HTTP/1.1 200 OK\nContent-Type: text/plain\nContent-Length: 4", b"1:0:"), "ok"),
    "page": (Recorded(b"HTTP/1.1 200 OK\nContent-Type: text/html", PAGE), "throttled"),
    "206 unasked": (Recorded(RANGE + WHOLE, BODY), "corrupt"),
}


@pytest.mark.parametrize("name", INDEX)
async def test_a_recorded_answer_for_a_whole_index_has_its_verdict(name: str) -> None:
    recorded, verdict = INDEX[name]
    async with replay(recorded) as url, httpx.AsyncClient(trust_env=False) as client:
        answer = await send(client, Ask(f"{url}/file.idx", most_bytes=1000), SECONDS)
    assert answer.verdict == verdict, str(answer)


async def test_a_head_of_an_absent_object_is_absent_though_it_cannot_say_why() -> None:
    async with replay(Recorded(b"HTTP/1.1 403 Forbidden")) as url, httpx.AsyncClient(trust_env=False) as client:
        assert (await send(client, Ask(f"{url}/file"), SECONDS)).verdict == Verdict.ABSENT


async def test_reading_stops_one_byte_after_what_was_asked_for() -> None:
    async with (
        replay(Recorded(b"HTTP/1.1 200 OK", bytes(5_000_000))) as url,
        httpx.AsyncClient(trust_env=False) as client,
    ):
        answer = await send(client, Ask(f"{url}/file.idx", most_bytes=1000), SECONDS)
    assert len(answer.body) == 1001


async def test_a_port_on_which_nobody_listens_is_transport() -> None:
    async with httpx.AsyncClient(trust_env=False) as client:
        with free_port() as port:
            answer = await send(client, Ask(f"http://127.0.0.1:{port}/file"), SECONDS)
    assert (answer.verdict, answer.status) == (Verdict.TRANSPORT, 0)
    assert b"ConnectError" in answer.body


async def test_a_body_that_drips_for_ever_is_ended_by_the_clock_of_the_whole_request() -> None:
    async with (
        replay(Recorded(RANGE + WHOLE, BODY[:50], "silence")) as url,
        httpx.AsyncClient(trust_env=False) as client,
    ):
        answer = await send(client, Ask(f"{url}/file", span=(1000, 1100, 5000)), 0.2)
    assert answer.verdict == Verdict.TRANSPORT


@pytest.mark.parametrize(
    ("value", "wait"),
    [
        ("7", timedelta(seconds=7)),
        ("Mon, 23 Nov 2026 18:02:00 GMT", timedelta(minutes=2)),
        ("Mon, 23 Nov 2026 17:00:00 GMT", timedelta(0)),
        ("86400", timedelta(minutes=15)),
        ("9" * 5000, timedelta(minutes=15)),
        ("soon", timedelta(seconds=60)),
        ("Mon, 23 Nov 2026 18:02:00", timedelta(seconds=60)),
        (None, timedelta(seconds=60)),
    ],
)
def test_the_wait_is_the_one_named_but_at_most_fifteen_minutes(value: str | None, wait: timedelta) -> None:
    headers = httpx.Headers({"Retry-After": value} if value else {})
    assert Answer(Ask("http://x"), 429, headers, b"").retry_after(NOW) == wait
