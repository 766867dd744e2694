"""What a run tells its children and asks about them, on the real server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from temporalio.client import Client
from temporalio.testing import ActivityEnvironment
from temporalio.worker import Worker

from activities import documents
from activities.children import TemporalChildren
from activities.messages.base import Ref
from activities.messages.miner import CommitmentRecorded
from activities.messages.run import AdoptChild, Announce, Sealed
from adapters.ledger.commitments import record_commitment
from adapters.ledger.values import ReceivedCommitment
from adapters.object_store import ObjectStore
from adapters.temporal_client import connect, workflow_runner
from protocol.commitment import Commitment
from protocol.names import miner_workflow_id
from starter.embedded import NAMESPACE
from tests.activities.validator.waiting import Told, Waiting
from tests.activities.validator.world import ALICE, BOB, CAROL, T0, VALIDATOR, Validator
from weather.faults import ChildStillOpen
from workers.commitments import tell_workflow

pytestmark = pytest.mark.server
QUEUE = "waiting"
RECORDED = CommitmentRecorded(
    commitment=Ref(sha256="c" * 64, size_bytes=1), commitment_digest="d" * 64, leaf_index=4, in_time=True
)


@pytest.fixture
async def client(temporal_address: str) -> AsyncIterator[Client]:
    client = await connect(temporal_address, NAMESPACE)
    async with Worker(client, task_queue=QUEUE, workflows=[Waiting], workflow_runner=workflow_runner()):
        yield client


async def do(activity: Any, request: Any) -> Any:
    return await ActivityEnvironment().run(activity, request)


async def start(client: Client, run_id: str, hotkey: str) -> Any:
    return await client.start_workflow(Waiting.run, id=miner_workflow_id(run_id, hotkey), task_queue=QUEUE)


def seal(store: ObjectStore, **recorded: CommitmentRecorded) -> Sealed:
    kept = documents.put_model(store, documents.SealedCommitments(recorded))
    return Sealed(commitments=kept, accepted=len(recorded))


async def test_waiting_children_hear_of_the_seal_and_of_moved_deadlines(client: Client, store: ObjectStore) -> None:
    run, keys = "forecast/2026-11-22T00Z", (ALICE.hotkey, BOB.hotkey, CAROL.hotkey)
    alice, bob = [await start(client, run, key) for key in keys[:2]]
    children = TemporalChildren(client, store)
    for hours in (1, 2):
        await do(children.announce, Announce(run_id=run, hotkeys=keys, moved_to=T0 + timedelta(hours=hours)))
    sealed = Announce(run_id=run, hotkeys=keys, sealed=seal(store, **{ALICE.hotkey: RECORDED}))
    await do(children.announce, sealed)
    moved = (T0 + timedelta(hours=1), T0 + timedelta(hours=2))
    told: list[Told] = [await alice.result(), await bob.result()]
    assert [each.moved_to for each in told] == [moved, moved]
    assert [each.sealed and each.sealed.recorded for each in told] == [RECORDED, None]
    await do(children.announce, sealed)


async def test_a_child_is_adopted_with_its_result_once_it_is_completed(client: Client, store: ObjectStore) -> None:
    run = "forecast/2026-11-22T06Z"
    child, children = await start(client, run, ALICE.hotkey), TemporalChildren(client, store)
    adopt = AdoptChild(workflow_id=child.id)
    with pytest.raises(ChildStillOpen) as still:
        await do(children.adopt_child, adopt)
    assert still.value.retry_after == timedelta(seconds=10)
    await do(children.announce, Announce(run_id=run, hotkeys=(ALICE.hotkey,), sealed=seal(store)))
    told = await child.result()
    assert Told.model_validate((await do(children.adopt_child, adopt)).result) == told


async def test_a_child_that_was_ended_is_to_be_started_again(client: Client, store: ObjectStore) -> None:
    child = await start(client, "forecast/2026-11-22T12Z", ALICE.hotkey)
    await child.terminate()
    adopt = AdoptChild(workflow_id=child.id)
    assert (await do(TemporalChildren(client, store).adopt_child, adopt)).result is None


@pytest.mark.parametrize("migrated_url", ["sqlite"], indirect=True)
async def test_a_stored_commitment_is_told_to_the_miners_part_if_it_still_waits(
    client: Client, validator: Validator
) -> None:
    opened = validator.open()
    offer = opened.offer(ALICE)
    received = ReceivedCommitment(
        commitment=Commitment.parse(offer.commitment), signature=offer.signature, received_at=T0, channel="push"
    )
    with validator.ledger.begin() as session:
        recorded = record_commitment(session, VALIDATOR, received)
    await tell_workflow(client, validator.store, recorded, in_time=True)
    child = await start(client, opened.run.run_id, ALICE.hotkey)
    await tell_workflow(client, validator.store, recorded, in_time=True)
    sealed = Announce(run_id=opened.run.run_id, hotkeys=(ALICE.hotkey,), sealed=seal(validator.store))
    await do(TemporalChildren(client, validator.store).announce, sealed)
    (heard,) = (await child.result()).recorded
    assert (heard.commitment_digest, heard.leaf_index, heard.in_time) == (recorded.commitment_digest, 1, True)
    assert documents.commitment(validator.store, heard.commitment) == offer
