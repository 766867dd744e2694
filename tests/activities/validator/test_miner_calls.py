"""Short calls to a real miner: what it says becomes data, an evidence with a pause, or a checked commitment."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import Response

from activities import documents
from activities.messages.base import Ref
from activities.messages.miner import DeliverReceipt, MinerAnswer, PollCommitment
from adapters.object_store import ObjectStore
from adapters.witness import Witness
from protocol.commitment import Commitment
from protocol.names import format_time
from tests.activities.validator.tiny import Post, tiny_catalog
from tests.fixed_clock import FixedClock
from tests.hostile_miner import MINER, STRANGER, HostileMiner, Server, running, signed
from tests.unit.protocol.world import logged
from weather.faults import (
    CommitmentBindingMismatch,
    CommitmentMalformed,
    CommitmentSignatureInvalid,
    EgressDown,
    InputDigestMismatch,
    MinerFault,
    MinerReportedError,
    MinerUnreachable,
    NoCommitment,
)

DEADLINE = datetime(2026, 11, 22, 23, tzinfo=UTC)
ASKED = DEADLINE - timedelta(minutes=30)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running() as served:
        yield served


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(ASKED)


@pytest.fixture
def post(server: Server, store: ObjectStore, tmp_path: Path, clock: FixedClock) -> Post:
    server.app = miner = HostileMiner()
    return Post(server, miner, store, tiny_catalog(tmp_path), Witness(clock))


def says(post: Post, call: str, **members: Any) -> None:
    """The miner answers this call so, with a good token."""
    answer = {"job_id": post.miner.call.job_id, **members}
    post.miner.overrides[f"weather-{call}-request"] = lambda request, _: signed(request, answer)


def processing(post: Post, stage: str = "inference", **members: Any) -> None:
    unsaid = {"estimated_ready_at": None, "input_data_hash": None, "retry_after_seconds": 60}
    says(post, "kerchunk", status="processing", stage=stage, **unsaid | members)


async def ask(post: Post) -> MinerAnswer:
    return await post.do(post.calls.request_forecast, post.target)


async def poll(post: Post, known: Any = "inference") -> MinerAnswer:
    request = PollCommitment(**dict(post.target), known_stage=known, commit_deadline=DEADLINE)
    return await post.do(post.calls.poll_commitment, request)


async def pause(post: Post, fault: type[MinerFault] = NoCommitment) -> timedelta:
    with pytest.raises(fault) as raised:
        await poll(post)
    assert raised.value.retry_after
    return raised.value.retry_after


@pytest.mark.parametrize(
    ("status", "stage"), [("received", "received"), ("processing", "fetching"), ("completed", "completed")]
)
async def test_the_answer_to_a_request_is_a_stage(post: Post, status: str, stage: str) -> None:
    says(post, "forecast", status=status, estimated_ready_at=None, input_data_hash="e" * 64, error=None)
    assert await ask(post) == MinerAnswer.model_validate({"stage": stage, "input_data_hash": "e" * 64})


async def test_a_miner_that_cannot_says_so_as_data(post: Post) -> None:
    error = {"code": "input_unavailable", "detail": "GFS is late"}
    says(post, "forecast", status="error", estimated_ready_at=None, input_data_hash=None, error=error)
    fault = (await ask(post)).fault
    assert fault and (fault.code, fault.cause) == ("MinerReportedError", "miner")
    assert (fault.found, fault.detail) == ("input_unavailable", "GFS is late")


async def test_another_stage_is_an_answer_and_the_same_one_a_reason_to_ask_again(post: Post) -> None:
    processing(post, input_data_hash="e" * 64)
    answer = await poll(post, known="fetching")
    assert (answer.stage, answer.input_data_hash, answer.commitment) == ("inference", "e" * 64, None)
    with pytest.raises(NoCommitment):
        await poll(post)


async def test_the_miner_is_asked_again_when_it_says(post: Post) -> None:
    processing(post, retry_after_seconds=90)
    assert await pause(post) == timedelta(seconds=90)
    processing(post, retry_after_seconds=90, estimated_ready_at=format_time(ASKED + timedelta(seconds=7)))
    assert await pause(post) == timedelta(seconds=7)


async def test_an_estimate_that_is_past_is_no_reason_to_ask_without_pause(post: Post) -> None:
    processing(post, retry_after_seconds=90, estimated_ready_at=format_time(ASKED - timedelta(seconds=7)))
    assert await pause(post) == timedelta(seconds=90)


async def test_a_miner_without_the_job_is_asked_again_after_five_minutes(post: Post) -> None:
    says(post, "kerchunk", status="not_found")
    assert await pause(post) == timedelta(minutes=5)


async def test_half_a_minute_before_the_deadline_everybody_is_asked_once_more(post: Post, clock: FixedClock) -> None:
    estimate = {"estimated_ready_at": format_time(DEADLINE + timedelta(hours=9))}
    processing(post, **estimate)
    assert await pause(post) == timedelta(minutes=29, seconds=30)
    clock.advance(timedelta(minutes=29, seconds=30))
    assert await pause(post) == timedelta(seconds=30)


@pytest.mark.parametrize(("left", "expected"), [(timedelta(minutes=9), 300), (timedelta(minutes=2), 90)])
async def test_an_error_of_the_miner_is_evidence_until_it_recovers(
    post: Post, clock: FixedClock, left: timedelta, expected: int
) -> None:
    clock.advance(timedelta(minutes=30) - left)
    says(post, "kerchunk", status="error", error={"code": "busy", "detail": "later"})
    assert await pause(post, MinerReportedError) == timedelta(seconds=expected)


async def test_a_commitment_that_holds_is_kept_as_it_came(post: Post) -> None:
    before = datetime.now(UTC)
    answer = await poll(post)
    assert answer.stage == "completed" and answer.commitment and answer.received_at
    data = documents.commitment(post.store, answer.commitment)
    assert Commitment.parse(data.commitment) == post.miner.commitment
    assert data.signature == post.miner.commitment.sign(MINER)
    assert before <= answer.received_at <= datetime.now(UTC)


@pytest.mark.parametrize(
    ("changes", "key", "fault"),
    [
        ({"object_count": 3}, MINER, CommitmentMalformed),
        ({"run_id": "forecast/2026-11-23T00Z"}, MINER, CommitmentBindingMismatch),
        ({"input_data_hash": "e" * 64}, MINER, InputDigestMismatch),
        ({}, STRANGER, CommitmentSignatureInvalid),
    ],
)
async def test_a_commitment_that_does_not_hold_is_a_fault_and_a_right_one_may_follow(
    post: Post, clock: FixedClock, changes: dict, key: Any, fault: type[MinerFault]
) -> None:
    clock.advance(timedelta(minutes=28))
    wrong = post.miner.commitment.model_copy(update=changes)
    answer = post.miner.kerchunk_answer
    offered = {"commitment": wrong.value, "signature": wrong.sign(key)}
    post.miner.overrides["weather-kerchunk-request"] = lambda request, _: signed(request, answer(**offered))
    assert await pause(post, fault) == timedelta(seconds=90)
    post.miner.overrides.clear()
    assert (await poll(post)).commitment


async def test_a_receipt_is_delivered(post: Post) -> None:
    receipt = logged(post.miner.commitment)
    delivery = DeliverReceipt(**dict(post.target), receipt=documents.put(post.store, receipt.canonical))
    await post.do(post.calls.deliver_receipt, delivery)
    assert post.miner.posts == ["weather-receipt"]


async def test_a_miner_that_cannot_be_reached_is_at_fault_only_if_another_one_can(post: Post) -> None:
    post.miner.overrides["weather-forecast-request"] = lambda *_: Response(status_code=503)
    with pytest.raises(EgressDown):
        await ask(post)
    await post.seen("POST")
    with pytest.raises(MinerUnreachable):
        await ask(post)


async def test_what_is_asked_for_is_read_by_digest(post: Post) -> None:
    post_target = post.target
    lost = post_target.model_copy(update={"call": Ref(sha256="0" * 64, size_bytes=1)})
    with pytest.raises(Exception, match="object store"):
        await post.do(post.calls.request_forecast, lost)
    assert post.miner.posts == []
