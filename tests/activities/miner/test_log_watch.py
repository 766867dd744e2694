"""A miner keeps what validators say of their logs, and what convicts them."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from temporalio.testing import ActivityEnvironment

from activities.messages.inference import SubmitCommitment
from miner.log_watch import Conviction, convictions, largest, watch_log
from miner.premises import Premises
from protocol import merkle
from protocol.commitment import Commitment
from protocol.log import ConsistencyProof, SignedHead, growth_broken
from protocol.problems import Refusal
from protocol.receipt import (
    CommitmentAnswer,
    CommitmentEntry,
    LogEntry,
    Receipt,
    TreeHead,
    broken_part,
    entry_hash,
)
from starter.cli import run
from tests.activities.miner.conftest import NOW, VALIDATOR, Stage
from tests.activities.miner.scene import forecast_made, scene
from tests.activities.miner.validator import FakeValidator, listening, receipt_of
from tests.fixed_clock import FixedClock
from tests.hostile_miner import Server, running
from tests.proofs import consistency_proof, inclusion_proof

MakeStage = Callable[..., Stage]
MINERS_TOML = """
port = 8090
temporal_address = "127.0.0.1:7233"
data_dir = "state"
registry = "registry.toml"
gfs_base_url = "http://127.0.0.1:9"
climatology_url = "http://127.0.0.1:9"
[[miner]]
name = "gale"
key_file = "{key}"
base_path = "/gale"
"""
RUN = "forecast/2026-11-22T18Z"


def entry_of(number: int, **changes: object) -> CommitmentEntry:
    return CommitmentEntry(
        network="test",
        run_id=RUN,
        hotkey=f"{number:064x}",
        commitment_digest=f"{number:064x}",
        received_at=NOW + timedelta(seconds=number),
        channel="push",
    ).model_copy(update=changes)


@dataclass
class Log:
    """A validator's log that says what it is told to say; `asked` are the sizes of each proof."""

    entries: list[LogEntry] = field(default_factory=lambda: [entry_of(number) for number in range(9)])
    asked: list[tuple[int, int]] = field(default_factory=list)
    down: bool = False

    def receipt(self, index: int, size: int) -> CommitmentAnswer:
        """The receipt of an entry with the head of that size."""
        entry = self.entries[index]
        assert isinstance(entry, CommitmentEntry)
        receipt = Receipt(validator=VALIDATOR.hotkey, leaf_index=index, entry=entry)
        head = TreeHead(
            network="test",
            validator=VALIDATOR.hotkey,
            tree_size=size,
            root_hash=merkle.root_of(self._hashes[:size]).hex(),
            recorded_at=NOW,
        )
        return CommitmentAnswer(
            receipt=receipt,
            receipt_signature=receipt.sign(VALIDATOR),
            tree_head=head,
            tree_head_signature=head.sign(VALIDATOR),
            inclusion_proof=tuple(part.hex() for part in inclusion_proof(self._hashes[:size], index)),
            in_time=True,
        )

    async def consistency(self, request: Request) -> Response:
        first, second = int(request.query_params["first"]), int(request.query_params["second"])
        self.asked.append((first, second))
        if self.down:
            return Response(status_code=503)
        try:
            proof = [part.hex() for part in consistency_proof(self._hashes[:second], first)]
        except ValueError as error:
            problem = Refusal("Malformed", str(error)).problem("/log/consistency")
            return Response(problem.body, problem.status)
        answer = ConsistencyProof(first=first, second=second, consistency_proof=tuple(proof))
        return Response(answer.body)

    @property
    def _hashes(self) -> list[bytes]:
        return [entry_hash(entry) for entry in self.entries]


@dataclass
class Watcher:
    """A miner host beside one validator's log."""

    log: Log
    premises: Premises

    async def receive(self, *receipts: CommitmentAnswer) -> None:
        for receipt in receipts:
            await asyncio.to_thread(watch_log, VALIDATOR.hotkey, receipt, self.premises)

    @property
    def convictions(self) -> list[Conviction]:
        with self.premises.jobs.begin() as session:
            return convictions(session)

    @property
    def largest(self) -> int | None:
        found = largest_head(self.premises)
        return None if found is None else found.tree_head.tree_size


def largest_head(premises: Premises) -> SignedHead | None:
    with premises.jobs.begin() as session:
        return largest(session, VALIDATOR.hotkey)


@pytest.fixture
def server() -> Iterator[Server]:
    with running() as served:
        yield served


@pytest.fixture
async def watcher(server: Server, make_stage: MakeStage) -> AsyncIterator[Watcher]:
    log = Log()
    server.app = Starlette(routes=[Route("/v/log/consistency", log.consistency)])
    yield Watcher(log, make_stage({"name": "gale"}, validator_url=f"{server.url}/v").premises)


async def test_the_largest_head_is_kept_and_every_receipt_asks_for_a_proof(watcher: Watcher) -> None:
    await watcher.receive(watcher.log.receipt(0, 1), watcher.log.receipt(4, 5), watcher.log.receipt(2, 3))
    assert (watcher.largest, watcher.log.asked) == (5, [(1, 5), (3, 5)])
    await watcher.receive(watcher.log.receipt(8, 9), watcher.log.receipt(8, 9))
    assert (watcher.largest, watcher.log.asked[2:]) == (9, [(5, 9)])
    assert watcher.convictions == []


async def convicted(watcher: Watcher, caplog: pytest.LogCaptureFixture, broken: str) -> None:
    """One conviction whose evidence anybody can check."""
    (found,) = watcher.convictions
    assert (found.validator, found.broken) == (VALIDATOR.hotkey, broken)
    assert found.older.holds("test", VALIDATOR.hotkey) and found.newer.holds("test", VALIDATOR.hotkey)
    assert growth_broken(found.older, found.newer, found.proof) == broken
    assert [record.levelno for record in caplog.records if "is convicted" in record.message] == [logging.CRITICAL]


async def test_two_heads_of_one_size_convict(watcher: Watcher, caplog: pytest.LogCaptureFixture) -> None:
    await watcher.receive(watcher.log.receipt(0, 5))
    watcher.log.entries[4] = entry_of(77)
    await watcher.receive(watcher.log.receipt(0, 5))
    await convicted(watcher, caplog, "two roots of one size")
    assert watcher.log.asked == []


async def test_a_dropped_leaf_convicts(watcher: Watcher, caplog: pytest.LogCaptureFixture) -> None:
    await watcher.receive(watcher.log.receipt(0, 5))
    del watcher.log.entries[2]
    await watcher.receive(watcher.log.receipt(0, 7))
    await convicted(watcher, caplog, "consistency proof")
    assert watcher.largest == 5


async def test_a_back_dated_entry_convicts(watcher: Watcher, caplog: pytest.LogCaptureFixture) -> None:
    await watcher.receive(watcher.log.receipt(3, 5))
    watcher.log.entries[3] = entry_of(3, received_at=NOW - timedelta(hours=1))
    await watcher.receive(watcher.log.receipt(6, 7))
    await convicted(watcher, caplog, "consistency proof")


async def test_a_log_that_says_it_is_shorter_than_it_was_convicts(
    watcher: Watcher, caplog: pytest.LogCaptureFixture
) -> None:
    await watcher.receive(watcher.log.receipt(0, 7))
    smaller = watcher.log.receipt(0, 5)
    del watcher.log.entries[5:]
    await watcher.receive(smaller)
    await convicted(watcher, caplog, "consistency proof")


async def test_after_a_conviction_the_honest_prefix_goes_on(watcher: Watcher) -> None:
    await watcher.receive(watcher.log.receipt(0, 5))
    forked = Log(entries=[*watcher.log.entries[:4], entry_of(77), entry_of(78)])
    await watcher.receive(forked.receipt(0, 6), watcher.log.receipt(0, 9))
    assert len(watcher.convictions) == 1
    assert watcher.largest == 9


async def test_a_silent_log_is_asked_again_and_no_head_is_forgotten(watcher: Watcher) -> None:
    await watcher.receive(watcher.log.receipt(0, 2))
    watcher.log.down = True
    await watcher.receive(watcher.log.receipt(0, 4))
    assert (watcher.largest, watcher.convictions) == (2, [])
    watcher.log.down = False
    await watcher.receive(watcher.log.receipt(0, 6))
    assert (watcher.largest, watcher.log.asked) == (6, [(2, 4), (2, 4), (4, 6)])


async def test_a_fork_that_was_seen_while_the_log_was_silent_is_found_later(watcher: Watcher) -> None:
    await watcher.receive(watcher.log.receipt(0, 2))
    watcher.log.down = True
    forked = Log(entries=[*watcher.log.entries[:3], entry_of(77)])
    await watcher.receive(forked.receipt(0, 4))
    watcher.log.down = False
    await watcher.receive(watcher.log.receipt(0, 6))
    assert [found.newer.tree_head.tree_size for found in watcher.convictions] == [4]
    assert watcher.largest == 6


async def test_a_receipt_that_is_delivered_is_watched_too(make_stage: MakeStage) -> None:
    async with scene(make_stage, {"name": "gale"}) as miners:
        job = await asyncio.to_thread(forecast_made, miners.stage, "gale")
        stored = miners.stage.premises.jobs.get(job.job_id)
        assert stored is not None and stored.offer is not None
        answer = receipt_of(VALIDATOR, Commitment.parse(stored.offer.commitment), miners.clock)
        await miners.client().deliver_receipt(miners.roster("gale"), answer)
    seen = largest_head(miners.stage.premises)
    assert seen is not None and seen.tree_head == answer.tree_head


def test_a_receipt_for_a_pushed_commitment_is_watched_too(make_stage: MakeStage) -> None:
    with listening(FakeValidator(VALIDATOR, FixedClock(NOW))) as validator:
        stage = make_stage({"name": "gale"}, validator_url=validator.url)
        job = forecast_made(stage, "gale")
        request = SubmitCommitment(job=job, validator=VALIDATOR.hotkey)
        ActivityEnvironment().run(stage.activities.submit_commitment, request)
    seen = largest_head(stage.premises)
    assert seen is not None and seen.tree_head.tree_size == 1


def test_an_entry_that_is_back_dated_in_the_receipt_alone_is_named_offline() -> None:
    log = Log()
    honest = log.receipt(3, 5)
    entry = entry_of(3, received_at=NOW - timedelta(hours=1))
    receipt = honest.receipt.model_copy(update={"entry": entry})
    signature = receipt.sign(VALIDATOR)
    forged = honest.model_copy(update={"receipt": receipt, "receipt_signature": signature})
    assert broken_part(honest, VALIDATOR.hotkey) is None
    assert broken_part(forged, VALIDATOR.hotkey) == "inclusion_proof"


async def test_status_shows_the_logs_and_who_is_convicted(
    watcher: Watcher, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "miners.toml"
    config.write_text(MINERS_TOML.format(key=tmp_path / "gale.key"), encoding="utf-8")
    await watcher.receive(watcher.log.receipt(0, 5))
    assert await asyncio.to_thread(run, ["miners", "status", "--config", str(config), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["convictions"] == []
    assert [(log["validator"], log["leaves"]) for log in told["logs"]] == [(VALIDATOR.hotkey, 5)]
    watcher.log.entries[4] = entry_of(77)
    await watcher.receive(watcher.log.receipt(0, 5))
    assert await asyncio.to_thread(run, ["miners", "status", "--config", str(config), "--json"]) == 5
    (conviction,) = json.loads(capsys.readouterr().out)["convictions"]
    assert (conviction["validator"], conviction["broken"]) == (VALIDATOR.hotkey, "two roots of one size")
    assert conviction["leaves"] == [5, 5]
