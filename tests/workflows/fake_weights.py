"""Doubles of the steps of an epoch: there is a vector and every sink takes it, unless a script says so."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from temporalio import activity

from activities.messages.run import DeliverOutbox, OutboxDelivered
from activities.messages.weights import (
    ComputeVector,
    Epoch,
    EpochStep,
    FrozenInputs,
    OverdueSettled,
    Publication,
    PublishWeights,
    RecordMissed,
    RegistryCompared,
    Vector,
    WeightsEpochInput,
)
from tests.workflows.script import DIGEST, REF, Script

GENESIS, TEMPO, BUFFER = datetime(2020, 1, 1, tzinfo=UTC), timedelta(seconds=4_320), timedelta(minutes=3)


class FakeWeights:
    def __init__(self, script: Script) -> None:
        self.script = script

    @activity.defn
    async def open_epoch(self, request: WeightsEpochInput) -> Epoch:
        self.script.play("open_epoch", "", request)
        number = ((request.as_of or datetime.now(UTC)) - GENESIS) // TEMPO if request.epoch is None else request.epoch
        start = GENESIS + number * TEMPO
        return Epoch(
            validator=DIGEST,
            network="test",
            epoch=number,
            as_of=start,
            publish_until=start + TEMPO - BUFFER,
            ends=start + TEMPO,
            sinks=self.script.sinks,
        )

    @activity.defn
    async def settle_overdue(self, request: EpochStep) -> OverdueSettled:
        self.script.play("settle_overdue", "", request)
        return OverdueSettled()

    @activity.defn
    async def compare_registry(self, request: EpochStep) -> RegistryCompared:
        self.script.play("compare_registry", "", request)
        return RegistryCompared(registered=2, signals=0)

    @activity.defn
    async def freeze_epoch_inputs(self, request: EpochStep) -> FrozenInputs:
        self.script.play("freeze_epoch_inputs", "", request)
        return FrozenInputs(inputs=REF, head=1_303, rounds=28)

    @activity.defn
    async def compute_vector(self, request: ComputeVector) -> Vector:
        self.script.play("compute_vector", "", request)
        return Vector(input_digest=DIGEST, shares_digest=DIGEST, hotkeys=2, created=True)

    @activity.defn
    async def record_missed(self, request: RecordMissed) -> None:
        self.script.play("record_missed", "", request)

    @activity.defn
    async def publish_weights(self, request: PublishWeights) -> Publication:
        self.script.play("publish_weights", request.sink, request)
        return Publication(sink=request.sink, state="submitted", reference="r")

    @activity.defn
    async def confirm_weights(self, request: PublishWeights) -> Publication:
        self.script.play("confirm_weights", request.sink, request)
        return Publication(sink=request.sink, state="confirmed", reference="r")


class FakeOutbox:
    """Everything that is due is told."""

    def __init__(self, script: Script) -> None:
        self.script = script

    @activity.defn
    async def deliver_outbox(self, request: DeliverOutbox) -> OutboxDelivered:
        self.script.play("deliver_outbox", "closed" if self.script.calls["close_run"] else "open", request)
        return OutboxDelivered(next_at=None)
