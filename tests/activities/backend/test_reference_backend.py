"""The reference backend: whatever it answers as stored is there, and each key has one effect."""

from __future__ import annotations

import random
from typing import Any

import httpx
import pytest

from protocol.canonical import J
from protocol.round_backend import BATCH, body_sha256, content_digest
from tests.activities.backend.teller import TOKEN, evaluation
from tests.reference_backend import ReferenceBackend, Trouble

ROUND = "/rounds/forecast%2F2026-11-22T18Z"


@pytest.fixture
def http(address: tuple[ReferenceBackend, str], backend: ReferenceBackend) -> Any:
    with httpx.Client(base_url=address[1], headers={"Authorization": f"Bearer {TOKEN}"}) as client:
        yield client


def put(http: httpx.Client, path: str, key: str, body: dict[str, Any]) -> httpx.Response:
    headers = {"Idempotency-Key": key, "Content-Digest": content_digest(J(body))}
    return http.put(path, content=J(body), headers=headers)


def items(*numbers: int) -> list[dict[str, Any]]:
    bodies = {number: evaluation(number)[2] for number in numbers}
    return [{"key": f"key-{n:03d}", "body_sha256": body_sha256(J(body)), **body} for n, body in bodies.items()]


def post(http: httpx.Client, batch: list[dict[str, Any]]) -> httpx.Response:
    return http.post(f"{ROUND}/evaluations", content=J(batch), headers={"Content-Digest": content_digest(J(batch))})


def held(backend: ReferenceBackend) -> set[str]:
    with backend.connected() as connection:
        return {key for (key,) in connection.execute("SELECT key FROM resources WHERE key LIKE 'key-%'")}


def stored(answer: httpx.Response) -> set[str]:
    return {item["key"] for item in answer.json().get("items", []) if item.get("state") == "stored"}


def test_of_a_batch_of_any_size_exactly_what_is_answered_as_stored_is_there(
    http: httpx.Client, backend: ReferenceBackend
) -> None:
    """AT-X4."""
    put(http, ROUND, "round", {})
    drawn, told = random.Random(4), set()
    for size in range(1, BATCH + 1):
        batch = items(*drawn.sample(range(500), size))
        fail = drawn.sample([item["key"] for item in batch], drawn.randint(0, size))
        backend.befall(Trouble(method="item", matches="|".join(fail) or "none", status=drawn.choice([409, 422, 500])))
        answer = post(http, batch)
        assert stored(answer) == {item["key"] for item in batch} - set(fail)
        told |= stored(answer)
        assert held(backend) == told


def test_a_commit_that_fails_leaves_nothing_and_is_not_answered_as_stored(
    http: httpx.Client, backend: ReferenceBackend
) -> None:
    """AT-X4."""
    put(http, ROUND, "round", {})
    backend.befall(Trouble(method="POST", fails_commit=True))
    for size in (1, 50, BATCH):
        answer = post(http, items(*range(size)))
        assert (answer.status_code, stored(answer), held(backend)) == (500, set(), set())
    backend.befall()
    assert len(stored(post(http, items(*range(BATCH))))) == len(held(backend)) == BATCH


def test_a_key_has_one_effect_however_often_it_is_delivered(http: httpx.Client, backend: ReferenceBackend) -> None:
    statuses = [put(http, ROUND, "round", {"a": 1}).status_code for _ in range(3)]
    assert statuses == [201, 200, 200]
    with backend.connected() as connection:
        assert connection.execute("SELECT body, deliveries FROM resources").fetchall() == [('{"a":1}', 3)]


@pytest.mark.parametrize(
    ("path", "key", "body", "answer"),
    [
        (ROUND, "round", {"other": 1}, (409, "key-reused")),
        (ROUND, "another", {}, (409, "identifier-bound")),
        (f"{ROUND}/tasks", "round", {}, (409, "key-reused")),
        ("/rounds/forecast%2F2026-11-23T00Z/tasks", "tasks", {}, (404, "round-unknown")),
    ],
)
def test_what_cannot_be_kept_is_refused(
    http: httpx.Client, path: str, key: str, body: dict[str, Any], answer: tuple[int, str]
) -> None:
    put(http, ROUND, "round", {})
    refused = put(http, path, key, body)
    assert (refused.status_code, refused.json()["code"]) == answer


def test_a_wrong_token_or_digest_or_too_many_items_are_refused(http: httpx.Client) -> None:
    put(http, ROUND, "round", {})
    assert put(http, ROUND, "k", {}).status_code == 409
    assert http.put(ROUND, content=b"{}", headers={"Content-Digest": content_digest(b"")}).status_code == 400
    assert post(http, items(*range(BATCH + 1))).status_code == 413
    (wrong,) = items(1)
    assert post(http, [wrong | {"score": 7}]).json()["items"][0]["status"] == 400
    assert http.get(ROUND, headers={"Authorization": "Bearer wrong"}).status_code == 401
