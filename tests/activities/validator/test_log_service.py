"""Call 8 over real HTTP on a real ledger."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from activities.messages.run import Step
from adapters import log_client
from adapters.ledger.commitments import record_commitment
from adapters.ledger.engine import Ledger
from adapters.ledger.values import ReceivedCommitment
from protocol.commitment import Commitment
from protocol.identity import PrivateKey
from protocol.log import ConsistencyProof, InclusionProof, LogEntries, SealedCommitments, SignedHead, growth_broken
from protocol.merkle import inclusion_holds
from protocol.problems import Problem
from protocol.receipt import CommitmentAnswer, entry_hash
from tests.activities.validator.world import ALICE, BOB, VALIDATOR, Opened, Validator, do
from tests.hostile_miner import loopback, running
from weather.faults import BadAnswer, EgressDown
from workers.log_service import PublishedLog, log_routes

BASE = "/v"


@pytest.fixture
def url(validator: Validator) -> Iterator[str]:
    with running() as server:
        published = PublishedLog(validator.ledger, VALIDATOR, "test", validator.clock)
        server.app = Starlette(routes=log_routes(BASE, published))
        yield server.url + BASE


def commit(validator: Validator, opened: Opened, key: PrivateKey) -> CommitmentAnswer:
    offer = opened.offer(key)
    received = ReceivedCommitment(
        commitment=Commitment.parse(offer.commitment),
        signature=offer.signature,
        received_at=opened.window.commit_deadline,
        channel="push",
    )
    with validator.ledger.begin() as session:
        return record_commitment(session, VALIDATOR, received).answer(opened.window.commit_deadline)


def seal(validator: Validator, opened: Opened) -> None:
    at = opened.window.commit_deadline + timedelta(minutes=1)
    do(validator.runs.seal_run, Step(run_id=opened.run.run_id, at=at))


def get(url: str, path: str, **query: Any) -> httpx.Response:
    return httpx.get(f"{url}/log/{path}", params=query, trust_env=False)


def refused(response: httpx.Response) -> tuple[int, str]:
    assert response.headers["content-type"] == "application/problem+json"
    return response.status_code, Problem.parse(response.content).code


def test_the_head_is_signed_and_covers_all_entries(validator: Validator, url: str) -> None:
    empty = SignedHead.parse(get(url, "head").content)
    assert empty.holds("test", VALIDATOR.hotkey) and empty.tree_head.tree_size == 0
    opened = validator.open()
    answer = commit(validator, opened, ALICE)
    seal(validator, opened)
    head = SignedHead.parse(get(url, "head").content)
    assert head.holds("test", VALIDATOR.hotkey) and not head.holds("other", VALIDATOR.hotkey)
    entries = LogEntries.parse(get(url, "entries", start=0, end=9).content).entries
    assert [entry.kind for entry in entries] == ["run_opened", "commitment", "run_sealed"]
    assert entries[1] == answer.receipt.entry
    for index, entry in enumerate(entries):
        found = get(url, "inclusion", leaf_index=index, tree_size=head.tree_head.tree_size)
        proof = [bytes.fromhex(part) for part in InclusionProof.parse(found.content).inclusion_proof]
        assert inclusion_holds(entry_hash(entry), (index, 3), proof, bytes.fromhex(head.tree_head.root_hash))


def test_the_head_of_a_receipt_is_a_prefix_of_the_log(validator: Validator, url: str) -> None:
    opened = validator.open()
    answer = commit(validator, opened, ALICE)
    older = SignedHead(tree_head=answer.tree_head, tree_head_signature=answer.tree_head_signature)
    seal(validator, opened)
    newer = SignedHead.parse(get(url, "head").content)
    proof = ConsistencyProof.parse(get(url, "consistency", first=2, second=3).content).consistency_proof
    assert growth_broken(older, newer, proof) is None


def test_commitments_are_shown_after_the_seal_only(validator: Validator, url: str) -> None:
    opened = validator.open()
    run_id = opened.run.run_id
    answers = {key.hotkey: commit(validator, opened, key) for key in (BOB, ALICE)}
    assert refused(get(url, "commitments", run_id=run_id)) == (403, "Forbidden")
    seal(validator, opened)
    shown = SealedCommitments.parse(get(url, "commitments", run_id=run_id).content)
    assert [one.commitment["hotkey"] for one in shown.commitments] == [BOB.hotkey, ALICE.hotkey]
    for one in shown.commitments:
        commitment = one.proved("test", run_id, VALIDATOR.hotkey)
        assert commitment is not None and one.receipt == answers[commitment.hotkey].receipt
        assert one.proved("test", run_id, ALICE.hotkey) is None
        assert one.proved("other", run_id, VALIDATOR.hotkey) is None


@pytest.mark.parametrize(
    ("path", "query", "problem"),
    [
        ("entries", {}, (400, "Malformed")),
        ("entries", {"start": "-1", "end": "2"}, (400, "Malformed")),
        ("entries", {"start": "1.5", "end": "2"}, (400, "Malformed")),
        ("entries", {"start": "٣", "end": "9" * 40}, (400, "Malformed")),
        ("inclusion", {"leaf_index": 5, "tree_size": 3}, (400, "Malformed")),
        ("consistency", {"first": 0, "second": 0}, (400, "Malformed")),
        ("consistency", {"first": 1, "second": 2**53}, (400, "Malformed")),
        ("commitments", {}, (400, "Malformed")),
        ("commitments", {"run_id": "forecast/\0"}, (400, "Malformed")),
        ("commitments", {"run_id": "forecast/2026-11-23T00Z"}, (404, "UnknownJob")),
    ],
)
def test_questions_that_have_no_answer_are_refused(
    validator: Validator, url: str, path: str, query: dict[str, Any], problem: tuple[int, str]
) -> None:
    validator.open()
    assert refused(get(url, path, **query)) == problem


def test_far_ranges_are_empty(validator: Validator, url: str) -> None:
    validator.open()
    found = LogEntries.parse(get(url, "entries", start=10**15, end=10**15 + 9).content)
    assert found.entries == ()


def test_without_a_ledger_the_log_is_not_ready(validator: Validator, tmp_path: Any) -> None:
    with running() as server, Ledger(f"sqlite:///{tmp_path}/absent/ledger.db") as absent:
        published = PublishedLog(absent, VALIDATOR, "test", validator.clock)
        server.app = Starlette(routes=log_routes(BASE, published))
        response = get(server.url + BASE, "head")
    assert refused(response) == (503, "NotReady")
    assert response.headers["retry-after"] == "10"


async def test_the_client_reads_what_the_log_shows(validator: Validator, url: str) -> None:
    egress = loopback()
    opened = validator.open()
    commit(validator, opened, ALICE)
    assert (await log_client.commitments(egress, url, opened.run.run_id)).commitments == ()
    assert (await log_client.commitments(egress, url, "forecast/2020-01-01T00Z")).commitments == ()
    seal(validator, opened)
    assert len((await log_client.commitments(egress, url, opened.run.run_id)).commitments) == 1
    assert len((await log_client.consistency(egress, url, 1, 3)).consistency_proof) == 2
    assert (await log_client.consistency(egress, url, 1, 9)).consistency_proof == ()


async def test_what_is_no_log_says_nothing_of_it(url: str) -> None:
    egress = loopback()
    with pytest.raises(EgressDown, match="404"):
        await log_client.consistency(egress, url + "/nowhere", 1, 2)
    with pytest.raises(EgressDown):
        await log_client.consistency(egress, "http://127.0.0.1:9", 1, 2)
    with running() as server:

        async def page(scope: Any, receive: Any, send: Any) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"<html>"})

        server.app = page
        with pytest.raises(BadAnswer, match="ConsistencyProof"):
            await log_client.consistency(egress, server.url, 1, 2)
