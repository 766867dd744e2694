"""Call 3 with any body and any token, from a miner or a stranger: a problem of the closed list, never an exception."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.ledger.values import ReceivedCommitment, RecordedCommitment
from protocol.problems import Problem
from protocol.tokens import Call, sign_request
from tests.fixed_clock import FixedClock
from tests.fuzz.mutations import HOSTILE_JSON, changed_bytes, changed_json
from tests.fuzz.profiles import bounded
from tests.hostile_miner import LAYOUT, MINER, STRANGER, VALIDATOR, call_data
from tests.validator_side import DEADLINE, PATH, push
from weather.faults import CommitmentLate
from workers.validator_service import OpenCall, ServiceConfig, validator_app

CLOCK = FixedClock(DEADLINE - timedelta(minutes=10))
SEED = json.loads(push())


class Sealed:
    """Knows every run that a ledger could be asked for, and keeps nothing."""

    def call_of(self, run_id: str) -> OpenCall | None:
        assert b"\0" not in run_id.encode()
        return OpenCall(call_data(), LAYOUT, frozenset({MINER.hotkey}), DEADLINE)

    def record(self, received: ReceivedCommitment) -> RecordedCommitment:
        raise CommitmentLate("the run is sealed")

    def probe(self) -> None:
        return None


async def ignored(recorded: RecordedCommitment, in_time: bool) -> None:
    return None


CONFIG = ServiceConfig(VALIDATOR, "test", "/v", posts_per_hotkey=None, posts_per_address=None)


def pushed(body: bytes, headers: list[tuple[bytes, bytes]]) -> Problem:
    app = validator_app(CONFIG, Sealed(), ignored, CLOCK)  # one that has seen no token

    async def send() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://here") as client:
            return await client.post(PATH, content=body, headers=headers)

    response = asyncio.run(send())
    problem = Problem.parse(response.content)
    assert problem.status == response.status_code < 500
    return problem


GOOD_TOKEN = b"Bearer " + sign_request(MINER, Call(VALIDATOR.hotkey, "POST", PATH, push()), CLOCK.now()).encode()


@bounded(150)
@given(body=changed_json(SEED) | changed_bytes(push()) | st.binary(max_size=100), data=st.data())
def test_any_push_is_answered_with_a_problem(body: bytes, data: st.DataObject) -> None:
    token = data.draw(st.sampled_from([GOOD_TOKEN, b"", b"Basic eA==", b"Bearer"]) | changed_bytes(GOOD_TOKEN))
    kind = data.draw(st.sampled_from([b"application/json", b"text/plain", b"application/json; charset=\xff"]))
    headers = [(b"Content-Type", kind), (b"Authorization", token.replace(b"\0", b"").replace(b"\n", b""))]
    assert pushed(body, headers).code != "InternalError"


@bounded(150)
@given(body=changed_json(SEED))
def test_any_body_that_its_sender_signed_is_judged(body: bytes) -> None:
    try:
        token = sign_request(MINER, Call(VALIDATOR.hotkey, "POST", PATH, body), CLOCK.now())
    except (ValueError, KeyError, TypeError, IndexError):
        return  # there is no nonce to sign
    pushed(body, [(b"Content-Type", b"application/json"), (b"Authorization", b"Bearer " + token.encode())])


@pytest.mark.parametrize("body", HOSTILE_JSON.values(), ids=HOSTILE_JSON)
def test_a_hostile_body_of_nobody_is_refused(body: bytes) -> None:
    token = sign_request(STRANGER, Call(VALIDATOR.hotkey, "POST", PATH, push()), CLOCK.now())
    headers = [(b"Content-Type", b"application/json"), (b"Authorization", b"Bearer " + token.encode())]
    assert pushed(body, headers).code in ("Malformed", "TooLarge")
