"""The client: where it may go, and the weights that it carries."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from adapters.round_backend import RoundBackend
from adapters.sinks.http import HttpSink
from adapters.sinks.port import Submitted
from protocol.weights import WeightsPayload, publication_key
from tests.activities.backend.teller import TOKEN
from tests.reference_backend import ReferenceBackend, Trouble
from tests.unit.protocol.test_weights import payload
from weather.faults import ConfigurationInvalid, SinkUnavailable, WeightsNotPublished


@pytest.mark.parametrize(
    "url",
    ["http://example.com", "http://10.0.0.1", "http://localhost.example", "ftp://localhost", "localhost:80", "", "a:b"],
)
def test_only_https_leaves_the_machine(url: str) -> None:
    with pytest.raises(ConfigurationInvalid):
        RoundBackend(url)


@pytest.mark.parametrize(
    "url", ["https://example.com/api/", "http://localhost:1", "http://127.3.2.1", "http://[::1]:8"]
)
def test_loopback_needs_no_encryption(url: str) -> None:
    RoundBackend(url)


def test_a_redirect_is_not_followed(address: tuple[ReferenceBackend, str], backend: ReferenceBackend) -> None:
    backend.befall(Trouble(method="PUT", status=307, headers={"Location": "/elsewhere"}))
    assert asyncio.run(RoundBackend(address[1], TOKEN).call("PUT", "/rounds/x", "{}", "k")).status == 307
    with backend.connected() as connection:
        assert connection.execute("SELECT count(*) FROM resources").fetchone() == (0,)


@pytest.fixture
def sink(address: tuple[ReferenceBackend, str], backend: ReferenceBackend) -> HttpSink:
    return HttpSink(RoundBackend(address[1], TOKEN))


def key_of(made: WeightsPayload) -> str:
    return publication_key(made.network, made.epoch, "http", made.shares_digest)


def test_weights_are_put_once_and_read_back(sink: HttpSink, backend: ReferenceBackend) -> None:
    made = payload()
    assert sink.confirm(made, key_of(made)) is None
    for _ in range(2):
        assert sink.submit(made, key_of(made)) == Submitted("submitted", key_of(made))
    assert sink.confirm(made, key_of(made)) is True
    other = made.model_copy(update={"head": made.head + 1})
    assert sink.confirm(other, key_of(other)) is False
    with backend.connected() as connection:
        path = f"/networks/{made.network}/weights/{made.epoch}"
        assert connection.execute("SELECT path, body FROM resources").fetchall() == [(path, made.canonical.decode())]


def refused(act: Callable[..., Any], *arguments: Any) -> float | type[Exception]:
    """The seconds after which it may be tried again, or the class of what is final."""
    try:
        act(*arguments)
    except SinkUnavailable as unavailable:
        return unavailable.retry_after.total_seconds() if unavailable.retry_after else 0
    except WeightsNotPublished:
        return WeightsNotPublished
    raise AssertionError("nothing was refused")


@pytest.mark.parametrize(
    ("trouble", "expected"),
    [
        ({"status": 503}, 1),
        ({"status": 429, "headers": {"Retry-After": "17"}}, 17),
        ({"status": 200}, 1),
        ({"status": 200, "lost": True}, 1),
        ({"status": 401}, 300),
        ({"status": 409, "document": {"code": "window-not-active"}}, 180),
        ({"status": 409, "document": {"code": "key-reused"}}, WeightsNotPublished),
        ({"status": 422}, WeightsNotPublished),
        ({"status": 302}, WeightsNotPublished),
    ],
)
def test_weights_that_are_not_proved_are_not_submitted(
    sink: HttpSink, backend: ReferenceBackend, trouble: dict[str, Any], expected: float | type[Exception]
) -> None:
    backend.befall(Trouble(method="PUT", **trouble))
    assert refused(sink.submit, payload(), "k") == expected


def test_weights_that_were_accepted_are_confirmed_when_they_are_stored(
    sink: HttpSink, backend: ReferenceBackend
) -> None:
    backend.befall(Trouble(method="PUT", status=202, stores=True), Trouble(method="GET", status=202, times=1))
    assert sink.submit(payload(), "k").state == "submitted"
    assert [sink.confirm(payload(), "k") for _ in range(2)] == [None, True]
    backend.befall(Trouble(method="GET", status=500))
    assert refused(sink.confirm, payload(), "k") == 0
