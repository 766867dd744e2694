"""Two validators of one network compare what miners committed to at each."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.responses import Response
from temporalio.testing import ActivityEnvironment

from activities.messages.audits import CommitmentsCompared
from activities.messages.run import RunStep, Step
from activities.peers import LedgerPeers
from adapters.ledger import facts
from adapters.ledger.commitments import record_commitment, sealed_commitments
from adapters.ledger.engine import Ledger
from adapters.ledger.values import FaultRecord, ReceivedCommitment
from adapters.object_store import ObjectStore
from protocol.commitment import Commitment
from protocol.identity import PrivateKey
from protocol.log import ReceiptedCommitment, SealedCommitments, equivocations
from protocol.registry import Registry, ValidatorEntry
from tests.activities.validator.world import ALICE, BOB, T0, VALIDATOR, Opened, Validator, do
from tests.hostile_miner import Server, loopback, running
from workers.log_service import PublishedLog, log_routes

SOUTH = PrivateKey.from_bytes(bytes([3]) * 32)
OTHER_ROOT = "6" * 64
NONE = CommitmentsCompared(validators=1, silent=0)


@dataclass
class Side:
    """A validator with its HTTP side."""

    key: PrivateKey
    validator: Validator
    server: Server
    opened: Opened = field(init=False)

    def __post_init__(self) -> None:
        published = PublishedLog(self.validator.ledger, self.key, "test", self.validator.clock)
        self.server.app = Starlette(routes=log_routes("", published))
        self.opened = self.validator.open()

    def commit(self, miner: PrivateKey, root: str = "5" * 64) -> None:
        offer = self.opened.offer(miner, root)
        received = ReceivedCommitment(
            commitment=Commitment.parse(offer.commitment),
            signature=offer.signature,
            received_at=self.opened.window.commit_deadline,
            channel="push",
        )
        with self.validator.ledger.begin() as session:
            record_commitment(session, self.key, received)

    def seal(self) -> None:
        run_id, at = self.opened.run.run_id, self.opened.window.commit_deadline
        do(self.validator.runs.seal_run, Step(run_id=run_id, at=at))

    @property
    def entry(self) -> ValidatorEntry:
        return entry(self.key, self.server)

    async def compare(self, *others: ValidatorEntry) -> CommitmentsCompared:
        registry = Registry(network="test", validator=(self.entry, *others))
        peers = LedgerPeers(self.validator.ledger, lambda: registry, loopback(), self.key.hotkey)
        request = RunStep(run=self.opened.run, at=T0)
        return await ActivityEnvironment().run(peers.compare_commitments, request)

    def faults(self) -> list[FaultRecord]:
        with self.validator.ledger.read() as session:
            return facts.faults_of(session, self.opened.run.run_id)


def entry(key: PrivateKey, server: Server) -> ValidatorEntry:
    return ValidatorEntry(name=f"v-{key.hotkey[:4]}", hotkey=key.hotkey, base_url=server.url)


@pytest.fixture
def north(validator: Validator) -> Iterator[Side]:
    with running() as server:
        yield Side(VALIDATOR, validator, server)


@pytest.fixture
def south(sqlite_template: Path, tmp_path: Path) -> Iterator[Side]:
    file = shutil.copy(sqlite_template, tmp_path / "south.db")
    with running() as server, Ledger(f"sqlite:///{file}") as ledger:
        yield Side(SOUTH, Validator(ledger, ObjectStore(tmp_path / "south")), server)


async def test_who_commits_to_two_forecasts_is_guilty_at_both_validators(north: Side, south: Side) -> None:
    for side, root in ((north, "5" * 64), (south, OTHER_ROOT)):
        side.commit(ALICE, root)
        side.commit(BOB)
        side.seal()
    for side, other in ((north, south), (south, north)):
        compared = await side.compare(other.entry)
        assert compared == CommitmentsCompared(validators=1, silent=0, equivocations=(ALICE.hotkey,))
        (fault,) = side.faults()
        assert (fault.code, fault.cause, fault.effect, fault.hotkey) == ("Equivocation", "miner", "W", ALICE.hotkey)
        assert fault.costs_the_run
        proofs = [ReceiptedCommitment.of_value(value) for value in fault.attempts]
        assert {proof.commitment["root"] for proof in proofs} == {"5" * 64, OTHER_ROOT}
        assert all(proof.proved("test", fault.run_id, proof.receipt.validator) for proof in proofs)
        assert await side.compare(other.entry) == compared
        assert len(side.faults()) == 1


async def test_one_forecast_for_all_validators_is_as_it_should_be(north: Side, south: Side) -> None:
    for side in (north, south):
        side.commit(ALICE)
        side.seal()
    assert await north.compare(south.entry) == NONE
    assert north.faults() == []


async def test_who_commits_to_one_validator_only_is_not_guilty(north: Side, south: Side) -> None:
    north.commit(ALICE)
    south.commit(BOB)
    north.seal()
    south.seal()
    assert await north.compare(south.entry) == NONE


async def test_a_validator_that_seals_later_is_compared_with_later(north: Side, south: Side) -> None:
    north.commit(ALICE)
    south.commit(ALICE, OTHER_ROOT)
    north.seal()
    assert await north.compare(south.entry) == NONE
    south.seal()
    assert (await north.compare(south.entry)).equivocations == (ALICE.hotkey,)


async def test_a_validator_out_of_reach_is_nobodys_fault(north: Side, south: Side) -> None:
    north.commit(ALICE)
    north.seal()
    south.server.url = "http://127.0.0.1:9"
    assert await north.compare(south.entry) == CommitmentsCompared(validators=1, silent=1)
    assert await north.compare() == CommitmentsCompared(validators=0, silent=0)


async def test_two_others_that_differ_convict_a_miner_that_is_on_our_roster(north: Side, south: Side) -> None:
    south.commit(ALICE, OTHER_ROOT)
    south.seal()
    with running() as server:
        east = PrivateKey.from_bytes(bytes([4]) * 32)
        shown = _answer(south, east, lambda one: _resigned(one, ALICE, east, root="7" * 64))
        server.app = _serving(shown)
        compared = await north.compare(south.entry, entry(east, server))
    assert compared == CommitmentsCompared(validators=2, silent=0, equivocations=(ALICE.hotkey,))


def _serving(answer: SealedCommitments) -> Any:
    return Response(answer.body, media_type="application/json")


def _answer(
    side: Side, key: PrivateKey, change: Callable[[ReceiptedCommitment], ReceiptedCommitment]
) -> SealedCommitments:
    """What a side sealed, changed."""
    with side.validator.ledger.read() as session:
        shown = sealed_commitments(session, side.opened.run.run_id)
    return SealedCommitments(run_id=shown.run_id, commitments=tuple(change(one) for one in shown.commitments))


def _resigned(
    one: ReceiptedCommitment, miner: PrivateKey, validator: PrivateKey, **members: Any
) -> ReceiptedCommitment:
    """Another commitment, signed by `miner` and receipted by `validator`."""
    commitment = Commitment.parse(one.commitment | members)
    entry = one.receipt.entry.model_copy(update={"commitment_digest": commitment.digest})
    receipt = one.receipt.model_copy(update={"validator": validator.hotkey, "entry": entry})
    return ReceiptedCommitment(
        commitment=commitment.value,
        signature=commitment.sign(miner),
        receipt=receipt,
        receipt_signature=receipt.sign(validator),
    )


@pytest.mark.parametrize(
    "forge",
    [
        pytest.param(lambda one: _resigned(one, BOB, SOUTH, root=OTHER_ROOT), id="signed by another"),
        pytest.param(lambda one: _resigned(one, ALICE, BOB, root=OTHER_ROOT), id="receipted by nobody"),
        pytest.param(lambda one: _resigned(one, ALICE, SOUTH, network="other"), id="of another network"),
        pytest.param(lambda one: _resigned(one, ALICE, SOUTH, run_id="forecast/2026-11-23T00Z"), id="of another run"),
        pytest.param(lambda one: one.model_copy(update={"commitment": {"root": 1}}), id="no commitment"),
        pytest.param(
            lambda one: one.model_copy(update={"commitment": one.commitment | {"root": OTHER_ROOT}}), id="changed"
        ),
    ],
)
def test_what_a_peer_can_not_prove_accuses_nobody(
    south: Side, forge: Callable[[ReceiptedCommitment], ReceiptedCommitment]
) -> None:
    south.commit(ALICE)
    ours = _answer(south, SOUTH, lambda one: _resigned(one, ALICE, VALIDATOR))
    theirs = _answer(south, SOUTH, forge)
    found = equivocations("test", south.opened.run.run_id, {VALIDATOR.hotkey: ours, SOUTH.hotkey: theirs})
    assert found == {}


async def test_the_first_code_that_cost_a_miner_its_run_stands(north: Side, south: Side) -> None:
    north.commit(ALICE)
    south.commit(ALICE, OTHER_ROOT)
    north.seal()
    south.seal()
    first = FaultRecord(
        run_id=north.opened.run.run_id,
        hotkey=ALICE.hotkey,
        code="ManifestMismatch",
        cause="miner",
        effect="W",
        recorded_at=T0,
    )
    north.validator.record(first)
    assert (await north.compare(south.entry)).equivocations == (ALICE.hotkey,)
    assert north.faults() == [first]
