"""Checks C1 to C8 of a pushed commitment, in their order, over real HTTP and on a real ledger."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from adapters.ledger.engine import Ledger
from protocol.names import job_id
from protocol.tokens import Answer, Call, sign_request, verify_answer
from tests.hostile_miner import MINER, RUN, STRANGER, T0, VALIDATOR, Server, running
from tests.validator_side import A_COMMITMENT, DEADLINE, OTHER, PATH, Validator, changed, ledger_file, push


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


async def test_c1_the_body_is_limited_json(validator: Validator) -> None:
    for body in (b"no JSON", b"{}", b'{"nonce": 1, "nonce": 2}', b"[" * 9_000, b"1" * 5_000):
        validator.refused(await validator.send(body, "x.y.z"), "Malformed")
    validator.refused(await validator.send(b" " * 16_385, "x.y.z"), "TooLarge")
    validator.refused(await validator.post(push(), **{"Content-Type": "text/plain"}), "NotAcceptable")


async def test_c1_a_body_above_the_limit_is_answered_before_its_end_and_hung_up_on(validator: Validator) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(validator.url.rpartition(":")[2]))
    head = f"POST {PATH} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 999999999\r\n\r\n"
    writer.write(head.encode() + b" " * 16_385)
    answer = await asyncio.wait_for(reader.read(), 5)
    writer.close()
    assert answer.startswith(b"HTTP/1.1 413 ") and b"TooLarge" in answer


async def test_c2_only_a_miner_of_the_roster_is_heard(validator: Validator) -> None:
    body = push()
    validator.refused(await validator.send(body, None), "Unauthenticated")
    validator.refused(await validator.send(body, "no.token.atall"), "Unauthenticated")
    refused = await validator.post(body, STRANGER)
    validator.refused(refused, "Unauthenticated")
    assert "barograph-answer" not in refused.headers


async def test_c2_a_request_is_for_this_validator_path_and_body(validator: Validator) -> None:
    body, now = push(), validator.clock.now()

    def token(audience: str = VALIDATOR.hotkey, path: str = PATH, signed: bytes = body) -> str:
        return sign_request(MINER, Call(audience, "POST", path, signed), now)

    validator.refused(await validator.send(body, token(audience=STRANGER.hotkey)), "Forbidden")
    validator.refused(await validator.send(body, token(path="/weather-commitment")), "Unauthenticated")
    validator.refused(await validator.send(body, token(signed=push())), "Unauthenticated")
    other_nonce = json.dumps(json.loads(body) | {"nonce": str(uuid4())}).encode()
    forged = sign_request(MINER, Call(VALIDATOR.hotkey, "POST", PATH, body), now)
    validator.refused(await validator.send(other_nonce, forged), "Unauthenticated")


async def test_c2_a_token_has_its_time_and_is_used_once(validator: Validator) -> None:
    body = push()
    token = sign_request(MINER, Call(VALIDATOR.hotkey, "POST", PATH, body), validator.clock.now())
    validator.accepted(await validator.send(body, token), body)
    validator.refused(await validator.send(body, token), "Replayed")
    validator.clock.advance(timedelta(seconds=91))
    validator.refused(await validator.send(body, token), "TokenExpired")


async def test_c2_a_process_refuses_tokens_from_before_its_start(validator: Validator) -> None:
    body = push()
    token = sign_request(MINER, Call(VALIDATOR.hotkey, "POST", PATH, body), validator.clock.now())
    validator.clock.advance(timedelta(seconds=2))
    validator.restart()
    validator.refused(await validator.send(body, token), "TokenExpired")


async def test_c2_an_unknown_run_is_named_and_a_sealed_one_is_closed(validator: Validator) -> None:
    other = A_COMMITMENT.value | {"run_id": "forecast/2026-11-23T00Z"}
    validator.refused(await validator.post(push(other)), "UnknownJob")
    validator.refused(await validator.post(push({"run_id": 7})), "UnknownJob")
    validator.records.closing = True
    validator.refused(await validator.post(push()), "Forbidden")
    validator.records.call = replace(validator.records.call, sealed=True)
    validator.refused(await validator.post(push()), "Forbidden")


@pytest.mark.parametrize(
    "members",
    [
        {"hash": "xxh64"},
        {"salt": "4" * 63},
        {"root": "A" * 64},
        {"object_count": "12"},
        {"init_time": "2026-11-22T18:00:00+00:00"},
        {"kind": "promise"},
    ],
    ids=str,
)
async def test_c3_members_and_formats_are_exact(members: dict[str, Any], validator: Validator) -> None:
    validator.refused(await validator.post(push(A_COMMITMENT.value | members)), "Malformed")


@pytest.mark.parametrize(
    "members",
    [
        {"network": "other"},
        {"grid": "0p25"},
        {"layout_digest": "1" * 64},
        {"score_spec_digest": "1" * 64},
        {"input_data_hash": "1" * 64},
        {"init_time": T0 + timedelta(hours=6)},
        {"hotkey": STRANGER.hotkey},
        {"job_id": job_id("test", RUN, OTHER.hotkey)},
    ],
    ids=lambda members: next(iter(members)),
)
async def test_c4_a_commitment_is_bound_to_the_call_and_its_sender(
    members: dict[str, Any], validator: Validator
) -> None:
    found = validator.refused(await validator.post(changed(**members)), "BindingMismatch")
    assert found.found != found.expected


async def test_c4_the_commitment_of_another_is_refused(validator: Validator) -> None:
    validator.refused(await validator.post(push(), OTHER), "BindingMismatch")


@pytest.mark.parametrize("members", [{"object_count": 13}, {"total_bytes": 3}, {"total_bytes": 2**50}], ids=str)
async def test_c5_count_and_total_are_possible(members: dict[str, Any], validator: Validator) -> None:
    validator.refused(await validator.post(changed(**members)), "Malformed")


async def test_c6_the_commitment_itself_is_signed(validator: Validator) -> None:
    validator.refused(await validator.post(push(signature=A_COMMITMENT.sign(OTHER))), "BindingMismatch")


async def test_after_a_refusal_a_right_commitment_may_follow(validator: Validator) -> None:
    await validator.post(changed(network="other"))
    body = push()
    validator.accepted(await validator.post(body), body)


async def test_refusals_after_c2_are_signed(validator: Validator) -> None:
    body = changed(network="other")
    response = await validator.post(body)
    sent = Answer(MINER.hotkey, json.loads(body)["nonce"], 422, response.content)
    verify_answer(response.headers["barograph-answer"], sent, VALIDATOR.hotkey, validator.clock.now())


async def test_c7_the_same_commitment_again_has_the_same_receipt(validator: Validator) -> None:
    bodies = [push(), push()]
    first = validator.accepted(await validator.post(bodies[0]), bodies[0])
    validator.clock.advance(timedelta(seconds=30))
    assert validator.accepted(await validator.post(bodies[1]), bodies[1], 200) == first


async def test_c7_the_first_commitment_stands(validator: Validator) -> None:
    body = push()
    first = validator.accepted(await validator.post(body), body)
    refused = validator.refused(await validator.post(changed(root="8" * 64)), "CommitmentExists")
    assert refused.answer == first
    again = push()
    validator.accepted(await validator.post(again), again, 200)


@pytest.mark.parametrize(
    ("after", "in_time"), [(timedelta(0), True), (timedelta(microseconds=1), False), (timedelta(milliseconds=1), False)]
)
async def test_c8_the_deadline_itself_is_in_time_and_the_next_instant_is_stored_as_late(
    after: timedelta, in_time: bool, validator: Validator
) -> None:
    validator.clock.advance(DEADLINE + after - validator.clock.now())
    body = push()
    answer = validator.accepted(await validator.post(body), body)
    assert answer.in_time is in_time
    await asyncio.wait_for(validator.heard.wait(), 5)
    assert validator.told == [(A_COMMITMENT.digest, in_time)]


async def test_c8_the_last_byte_counts_and_not_the_first(validator: Validator) -> None:
    validator.clock.advance(DEADLINE - validator.clock.now())
    body = push()
    token = sign_request(MINER, Call(VALIDATOR.hotkey, "POST", PATH, body), validator.clock.now())

    async def late():
        yield body[:-1]
        validator.clock.advance(timedelta(milliseconds=1))
        yield body[-1:]

    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
    headers["Content-Length"] = str(len(body))
    async with httpx.AsyncClient(trust_env=False) as client:
        response = await client.post(validator.url + PATH, content=late(), headers=headers)
    assert not validator.accepted(response, body).in_time


async def test_a_moved_deadline_can_make_late_into_in_time(validator: Validator) -> None:
    validator.clock.advance(DEADLINE + timedelta(minutes=1) - validator.clock.now())
    bodies = [push(), push()]
    assert not validator.accepted(await validator.post(bodies[0]), bodies[0]).in_time
    validator.records.call = replace(validator.records.call, deadline=DEADLINE + timedelta(minutes=10))
    assert validator.accepted(await validator.post(bodies[1]), bodies[1], 200).in_time
