"""The validator's HTTP side: checks C1 to C8 over real HTTP, on a real ledger."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from adapters.clock import FixedClock
from adapters.ledger.commitments import record_commitment
from adapters.ledger.engine import Ledger, upgrade
from adapters.ledger.roster import freeze_roster
from adapters.ledger.runs import open_run
from adapters.ledger.values import NewRun, ReceivedCommitment, RecordedCommitment
from protocol.commitment import Commitment, first_broken
from protocol.identity import PrivateKey
from protocol.messages import CommitmentData
from protocol.names import job_id
from protocol.problems import Problem
from protocol.receipt import CommitmentAnswer
from protocol.registry import RosterEntry
from protocol.tokens import Answer, Call, sign_request, verify_answer
from tests.hostile_miner import LAYOUT, MINER, RUN, STRANGER, T0, VALIDATOR, HostileMiner, Server, call_data, running
from weather.faults import CommitmentLate, LedgerUnavailable
from workers.validator_service import OpenCall, ServiceConfig, validator_app

PATH = "/v/weather-commitment"
DEADLINE = T0 + timedelta(hours=5)
OTHER = PrivateKey.from_bytes(bytes([7]) * 32)


class Records:
    """The real ledger, with a switch for what a test lets go wrong."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.call = OpenCall(call_data(), LAYOUT, frozenset({MINER.hotkey, OTHER.hotkey}), DEADLINE)
        self.down = False
        self.closing = False

    def call_of(self, run_id: str) -> OpenCall | None:
        self.probe()
        return self.call if run_id == RUN else None

    def record(self, received: ReceivedCommitment) -> RecordedCommitment:
        if self.closing:
            raise CommitmentLate("the run is sealed")
        with self.ledger.begin() as session:
            return record_commitment(session, VALIDATOR, received)

    def probe(self) -> None:
        if self.down:
            raise LedgerUnavailable("no database")


class Validator:
    """The service under test, its clock, and what it told."""

    def __init__(self, server: Server, ledger: Ledger) -> None:
        self.records = Records(ledger)
        self.clock = FixedClock(DEADLINE - timedelta(minutes=10))
        self.told: list[tuple[str, bool]] = []
        self.heard = asyncio.Event()
        self.url = server.url
        self.loop = asyncio.get_running_loop()
        self.config = ServiceConfig(VALIDATOR, "test", "/v", posts_per_hotkey=None, posts_per_address=None)
        self._server = server
        self.restart()

    def restart(self, **changes: Any) -> None:
        self.config = replace(self.config, **changes)
        self._server.app = validator_app(self.config, self.records, self._on_commitment, self.clock)
        self.clock.advance(timedelta(seconds=1))

    async def _on_commitment(self, recorded: RecordedCommitment, in_time: bool) -> None:
        self.told.append((recorded.commitment_digest, in_time))
        self.loop.call_soon_threadsafe(self.heard.set)

    async def post(self, body: bytes, key: PrivateKey = MINER, **headers: str) -> httpx.Response:
        call = Call(VALIDATOR.hotkey, "POST", PATH, body)
        token = sign_request(key, call, self.clock.now())
        return await self.send(body, token, **headers)

    async def send(self, body: bytes, token: str | None, **headers: str) -> httpx.Response:
        own = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
        async with httpx.AsyncClient(trust_env=False) as client:
            return await client.post(self.url + PATH, content=body, headers=own | headers)

    def refused(self, response: httpx.Response, code: str) -> Problem:
        """The problem in an answer, after its form was checked."""
        assert response.headers["content-type"] == "application/problem+json"
        found = Problem.parse(response.content)
        assert (found.code, found.status) == (code, response.status_code)
        return found

    def accepted(self, response: httpx.Response, body: bytes, status: int = 201) -> CommitmentAnswer:
        """The receipt in an answer, after all proofs were checked offline."""
        assert response.status_code == status
        answer = CommitmentAnswer.parse(response.content)
        assert (
            first_broken(CommitmentData.of_value(json.loads(body)["data"]), answer, MINER.hotkey, VALIDATOR.hotkey)
            is None
        )
        return answer


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running() as served:
        yield served


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A SQLite file with one open run of two miners."""
    file = tmp_path_factory.mktemp("ledger") / "template.sqlite"
    upgrade(f"sqlite:///{file}")
    run = NewRun(
        network="test",
        run_id=RUN,
        validator_hotkey=VALIDATOR.hotkey,
        purpose="live",
        init_time=T0,
        grid=LAYOUT.grid,
        layout_digest=LAYOUT.digest,
        score_spec_digest="2" * 64,
        case_set_digest="c" * 64,
        close_by=T0 + timedelta(days=25),
        opened_at=T0 + timedelta(hours=4),
    )
    entries = [
        RosterEntry(hotkey=key.hotkey, uid=None, name=name, base_url=f"https://{name}.example", tls_sha256=None)
        for name, key in (("one", MINER), ("two", OTHER))
    ]
    with Ledger(f"sqlite:///{file}") as ledger, ledger.begin() as session:
        open_run(session, run)
        freeze_roster(session, RUN, entries, "9" * 64)
    return file.read_bytes()


@pytest.fixture
async def validator(server: Server, template: bytes, tmp_path: Path) -> Any:
    file = tmp_path / "ledger.sqlite"
    file.write_bytes(template)
    with Ledger(f"sqlite:///{file}") as ledger:
        yield Validator(server, ledger)


A_COMMITMENT = HostileMiner().commitment


def push(commitment: Commitment | dict[str, Any] = A_COMMITMENT, signature: str | None = None, **more: Any) -> bytes:
    """The body of call 3 with a fresh nonce."""
    value = commitment.value if isinstance(commitment, Commitment) else commitment
    signature = signature or A_COMMITMENT.sign(MINER)
    return json.dumps({"nonce": str(uuid4()), "data": {"commitment": value, "signature": signature}} | more).encode()


def changed(**members: Any) -> bytes:
    """A commitment with other members, signed as it is."""
    other = A_COMMITMENT.model_copy(update=members)
    return push(other, other.sign(MINER))


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
        validator.records.down = True
        ill = await client.get(validator.url + "/v/health")
    assert well.json() == {
        "status": "ok",
        "protocol": ["barograph/1"],
        "hotkey": VALIDATOR.hotkey,
        "network": "test",
        "time": validator.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    validator.refused(ill, "NotReady")


async def test_many_miners_at_once_are_all_receipted(validator: Validator) -> None:
    bodies = [push() for _ in range(8)]
    answers = await asyncio.gather(*(validator.post(body) for body in bodies))
    assert sorted(answer.status_code for answer in answers) == [200] * 7 + [201]
    assert len({answer.content for answer in answers}) == 1
