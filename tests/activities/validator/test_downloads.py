"""Rounds of verified transfers from a real miner: what is data, what is tried again, and what spends an attempt."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from starlette.responses import Response

from activities import documents
from adapters.clock import Clock
from adapters.object_store import ObjectStore
from adapters.witness import Kind, Witness
from tests.activities.validator.tiny import BYSTANDER, Post, tiny_catalog
from tests.fixed_clock import FixedClock
from tests.hostile_miner import LAYOUT, MINER, HostileMiner, Server, running, signed
from weather.faults import (
    EgressDown,
    ManifestAbsent,
    MinerUnreachable,
    ObjectAbsent,
    StoreUnavailable,
    TransferFailed,
)

CHUNK_2T = LAYOUT.chunk_path("2t", 0, 12)
FINAL = {LAYOUT.chunk_path(*field, 12) for field in LAYOUT.fields()}
DAY1 = {LAYOUT.chunk_path("2t", 0, 6)}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running() as served:
        yield served


@pytest.fixture
def post(server: Server, store: ObjectStore, tmp_path: Path) -> Post:
    server.app = miner = HostileMiner()
    return Post(server, miner, store, tiny_catalog(tmp_path), Witness(Clock()))


def absent(_request: object, _response: Response) -> Response:
    return Response(status_code=404)


def gone(_request: object, _response: Response) -> Response:
    return Response(status_code=503)


def chunks(post: Post) -> set[str]:
    return {path for path in post.miner.gets if "/c/" in path}


async def test_what_was_verified_is_kept_as_one_document(post: Post) -> None:
    answer = await post.verify()
    assert (answer.fault, answer.final) == (None, True) and answer.store
    kept = documents.get_model(post.store, documents.VerifiedStore, answer.store.sha256)
    assert kept.commitment == post.miner.commitment
    assert post.store.get(kept.manifest.sha256) == post.miner.manifest.canonical


async def test_a_fault_that_may_pass_is_tried_three_times_a_round_and_then_told(post: Post) -> None:
    post.miner.overrides["manifest.json"] = absent
    for spent in (1, 2):
        with pytest.raises(ManifestAbsent):
            await post.verify()
        assert post.left[0]["spent"] == {"ManifestAbsent": spent}
    answer = await post.verify()
    assert (answer.store, answer.final) == (None, False) and answer.fault
    assert (answer.fault.code, answer.fault.cause, answer.fault.found) == ("ManifestAbsent", "miner", "404")


async def test_workers_that_are_lost_spend_none_of_a_miners_attempts(post: Post) -> None:
    post.miner.overrides["manifest.json"] = absent
    post.attempt = 5
    for _ in range(2):
        with pytest.raises(ManifestAbsent):
            await post.verify()
        post.attempt += 5
    assert not (await post.verify()).final


async def test_our_own_errors_spend_none_of_a_miners_attempts(post: Post) -> None:
    post.left = ({"spent": {"InternalError": 2, "SourceCorrupt": 4}},)
    post.miner.overrides["manifest.json"] = absent
    for _ in range(2):
        with pytest.raises(ManifestAbsent):
            await post.verify()
    assert not (await post.verify()).final


async def test_attempts_of_different_codes_are_added_up(post: Post) -> None:
    verified = await post.verified()
    post.left = ({"spent": {"MinerTimeout": 1}},)
    post.miner.overrides[CHUNK_2T] = absent
    with pytest.raises(ObjectAbsent):
        await post.fetch(verified)
    answer = await post.fetch(verified)
    assert (answer.missing, answer.final) == (1, False)


async def test_a_fault_that_no_retry_can_help_ends_the_round_at_once(post: Post) -> None:
    post.miner.served["manifest.json"] += b" "
    answer = await post.verify()
    assert answer.final and answer.fault and answer.fault.code == "ManifestMalformed"
    assert post.left[0]["spent"] == {}


async def test_a_pass_reads_the_chunks_of_its_own_cases_and_each_once(post: Post) -> None:
    verified = await post.verified()
    assert chunks(post) == set()
    day1 = await post.fetch(verified, "day1_qc")
    assert (day1.missing, day1.final, chunks(post)) == (0, True, DAY1)
    for _ in range(2):
        final = await post.fetch(verified)
        assert (final.missing, final.final, chunks(post)) == (0, True, DAY1 | FINAL)
    kept = post.fetched(final)
    assert [(one.variable, one.level, one.lead_hours) for one in kept.chunks] == [
        ("2t", 0, 12),
        ("t", 500, 12),
        ("t", 850, 12),
    ]
    assert kept.faults == ()
    assert {path: post.miner.gets[path] for path in DAY1 | FINAL} == dict.fromkeys(DAY1 | FINAL, 1)


async def test_a_chunk_that_is_absent_is_a_fault_of_its_case_and_final_in_the_last_round(post: Post) -> None:
    verified = await post.verified()
    post.left = ({"spent": {"ObjectAbsent": 2}},)
    post.miner.overrides[CHUNK_2T] = absent
    first = await post.fetch(verified)
    last = await post.fetch(verified, last=True)
    assert [(answer.missing, answer.final) for answer in (first, last)] == [(1, False), (1, True)]
    kept = post.fetched(last)
    assert [(fault.code, fault.variable, fault.lead_hours) for fault in kept.faults] == [("ObjectAbsent", "2t", 12)]
    assert [chunk.variable for chunk in kept.chunks] == ["t", "t"]


async def test_a_chunk_that_is_absent_once_is_had_by_the_next_attempt(post: Post) -> None:
    verified = await post.verified()
    post.miner.overrides[CHUNK_2T] = absent
    with pytest.raises(ObjectAbsent):
        await post.fetch(verified)
    post.miner.overrides.clear()
    answer = await post.fetch(verified)
    assert (answer.missing, answer.final) == (0, True)
    assert post.miner.gets[LAYOUT.chunk_path("t", 500, 12)] == 1


async def test_a_flipped_byte_is_final_at_once_and_costs_one_case(post: Post) -> None:
    verified = await post.verified()
    body = post.miner.served[CHUNK_2T]
    post.miner.served[CHUNK_2T] = bytes([body[0] ^ 1]) + body[1:]
    answer = await post.fetch(verified)
    assert (answer.missing, answer.final) == (1, True)
    assert [fault.code for fault in post.fetched(answer).faults] == ["ObjectDigestMismatch"]


async def test_beside_a_fault_that_may_pass_a_final_one_waits_for_the_next_round(post: Post) -> None:
    verified = await post.verified()
    post.left = ({"spent": {"ObjectAbsent": 2}},)
    post.miner.served[CHUNK_2T] = bytes(len(post.miner.served[CHUNK_2T]))
    post.miner.overrides[LAYOUT.chunk_path("t", 500, 12)] = absent
    answer = await post.fetch(verified)
    assert (answer.missing, answer.final) == (2, False)


async def test_a_miner_that_gives_no_token_lacks_every_field_of_the_lead(post: Post) -> None:
    verified = await post.verified()
    post.left = ({"spent": {"MinerReportedError": 2}},)
    error = {
        "status": "error",
        "job_id": post.miner.call.job_id,
        "error": {"code": "storage_failed", "detail": "disk"},
    }
    post.miner.overrides["weather-kerchunk-request"] = lambda request, _: signed(request, error)
    answer = await post.fetch(verified, last=True)
    assert (answer.missing, answer.final) == (3, True)
    faults = post.fetched(answer).faults
    assert [(fault.variable, fault.level) for fault in faults] == [("2t", 0), ("t", 500), ("t", 850)]
    assert {(fault.code, fault.detail, fault.found) for fault in faults} == {
        ("MinerReportedError", "disk", "storage_failed")
    }


async def test_a_transport_fault_without_a_witness_is_ours_and_spends_nothing(post: Post) -> None:
    verified = await post.verified()
    post.miner.overrides[CHUNK_2T] = gone
    with pytest.raises(EgressDown):
        await post.fetch(verified)
    assert post.left[0]["spent"] == {}
    await post.seen("GET")
    with pytest.raises(TransferFailed):
        await post.fetch(verified)
    assert post.left[0]["spent"] == {"TransferFailed": 1}


async def test_a_miner_that_failed_is_no_witness_against_the_next_one(post: Post) -> None:
    verified = await post.verified()
    post.witness = Witness(Clock())
    await post.seen("GET")
    for path in FINAL:
        post.miner.overrides[path] = gone
    with pytest.raises(TransferFailed):
        await post.fetch(verified)
    assert not await stands(post, "GET")


async def test_chunks_that_were_kept_already_are_no_witness_that_the_network_stands(post: Post) -> None:
    verified = await post.verified()
    await post.fetch(verified)
    post.witness = Witness(Clock())
    assert (await post.fetch(verified)).missing == 0
    assert not await stands(post, "GET")


async def test_chunks_that_came_are_a_witness(post: Post) -> None:
    verified = await post.verified()
    post.witness = Witness(Clock())
    await post.fetch(verified)
    assert await stands(post, "GET")


async def test_a_store_of_ours_that_lost_the_manifest_is_not_the_miners_fault(post: Post) -> None:
    lost = (await post.verified()).model_copy(update={"store": "0" * 64})
    with pytest.raises(StoreUnavailable):
        await post.fetch(lost)
    assert post.left == () or post.left[0]["spent"] == {}


async def test_a_network_that_is_cut_costs_no_miner_anything(post: Post) -> None:
    """AT-F3: an attempt may be spent while the last success is young, and then none, however long it lasts."""
    verified, clock = await post.verified(), FixedClock(Clock().now())
    post.witness = Witness(clock)
    await post.seen("GET")
    for path in FINAL:
        post.miner.overrides[path] = gone
    with pytest.raises(TransferFailed):
        await post.fetch(verified)
    for _ in range(20):
        clock.advance(timedelta(minutes=5))
        with pytest.raises(EgressDown):
            await post.fetch(verified, last=True)
    assert post.left[0]["spent"] == {"TransferFailed": 1}
    post.miner.overrides.clear()
    answer = await post.fetch(verified)
    assert (answer.missing, answer.final, post.fetched(answer).faults) == (0, True, ())


async def stands(post: Post, kind: Kind) -> bool:
    """Whether a bystander's transport fault would count, for all that this miner did."""
    assert MINER.hotkey != BYSTANDER
    try:
        await post.witness.require(kind, BYSTANDER, MinerUnreachable("refused"))
    except EgressDown:
        return False
    return True
