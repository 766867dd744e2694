"""Receipts, limits, signals and health of the validator's HTTP side over real HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Iterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from adapters.ledger.engine import Ledger
from adapters.ledger.values import RecordedCommitment
from protocol.tokens import Answer, verify_answer
from tests.hostile_miner import MINER, STRANGER, VALIDATOR, Server, running
from tests.validator_side import A_COMMITMENT, DEADLINE, OTHER, Validator, ledger_file, push
from workers.validator_service import validator_app


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running() as served:
        yield served


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return ledger_file(tmp_path_factory.mktemp("ledger"))


@pytest.fixture
async def validator(server: Server, template: bytes, tmp_path: Path) -> AsyncGenerator[Validator]:
    file = tmp_path / "ledger.sqlite"
    file.write_bytes(template)
    with Ledger(f"sqlite:///{file}") as ledger:
        yield Validator(server, ledger)


async def test_a_commitment_is_stored_logged_and_answered_with_a_receipt_that_holds_offline(
    validator: Validator,
) -> None:
    body = push()
    response = await validator.post(body)
    answer = validator.accepted(response, body)
    assert answer.in_time
    assert (answer.receipt.leaf_index, answer.tree_head.tree_size) == (0, 1)
    assert answer.receipt.entry.received_at == validator.clock.now()
    token = response.headers["barograph-answer"]
    sent = Answer(MINER.hotkey, json.loads(body)["nonce"], 201, response.content)
    verify_answer(token, sent, VALIDATOR.hotkey, validator.clock.now())
    await asyncio.wait_for(validator.heard.wait(), 5)
    assert validator.told == [(A_COMMITMENT.digest, True)]


async def test_a_ledger_that_is_down_is_our_fault_and_the_miner_may_come_again(validator: Validator) -> None:
    validator.records.down = True
    response = await validator.post(push())
    validator.refused(response, "NotReady")
    assert int(response.headers["retry-after"]) > 0
    validator.records.down = False
    body = push()
    validator.accepted(await validator.post(body), body)


async def test_posts_are_counted_by_proven_hotkey(validator: Validator) -> None:
    validator.restart(posts_per_hotkey=2)
    for _ in range(3):
        await validator.post(push(), STRANGER)
    bodies = [push(), push()]
    validator.accepted(await validator.post(bodies[0]), bodies[0])
    validator.accepted(await validator.post(bodies[1]), bodies[1], 200)
    response = await validator.post(push())
    validator.refused(response, "RateLimited")
    assert "retry-after" in response.headers
    validator.refused(await validator.post(push(), OTHER), "BindingMismatch")
    validator.clock.advance(timedelta(minutes=1))
    body = push()
    validator.accepted(await validator.post(body), body, 200)


async def test_posts_are_counted_by_address_before_anything_is_read(validator: Validator) -> None:
    validator.restart(posts_per_address=1)
    validator.refused(await validator.send(b"junk", None), "Malformed")
    validator.refused(await validator.send(b"junk", None), "RateLimited")


async def test_a_signal_that_fails_does_not_fail_the_answer(server: Server, validator: Validator) -> None:
    async def fails(recorded: RecordedCommitment, in_time: bool) -> None:
        raise ConnectionError("no Temporal")

    server.app = validator_app(validator.config, validator.records, fails, validator.clock)
    validator.clock.advance(timedelta(seconds=1))
    body = push()
    validator.accepted(await validator.post(body), body)


async def test_health_tells_who_answers_only_after_a_real_probe(validator: Validator) -> None:
    async with httpx.AsyncClient(trust_env=False) as client:
        well = await client.get(validator.url + "/v/health")
        validator.restart(degraded=lambda: True)
        silent = await client.get(validator.url + "/v/health")
        validator.restart(degraded=bool, stale_since=lambda: DEADLINE)
        stale = await client.get(validator.url + "/v/health")
        validator.records.down = True
        ill = await client.get(validator.url + "/v/health")
    assert (well.status_code, silent.status_code, silent.json()["status"]) == (200, 200, "degraded")
    assert well.json() == {
        "status": "ok",
        "protocol": ["barograph/1"],
        "hotkey": VALIDATOR.hotkey,
        "network": "test",
        "time": (validator.clock.now() - timedelta(seconds=2)).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    assert (stale.json()["status"], stale.json()["stale"]) == ("ok", DEADLINE.strftime("%Y-%m-%dT%H:%M:%SZ"))
    validator.refused(ill, "NotReady")


async def test_many_miners_at_once_are_all_receipted(validator: Validator) -> None:
    bodies = [push() for _ in range(8)]
    answers = await asyncio.gather(*(validator.post(body) for body in bodies))
    assert sorted(answer.status_code for answer in answers) == [200] * 7 + [201]
    assert len({answer.content for answer in answers}) == 1
