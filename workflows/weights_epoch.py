"""`WeightsEpoch`: computes once from closed rounds, publishes to each sink, confirms."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import ActivityError

from activities import signatures
from activities.messages.base import FaultNote
from activities.messages.status import Why
from activities.messages.weights import (
    ComputeVector,
    Epoch,
    EpochStep,
    FrozenInputs,
    Publication,
    PublishWeights,
    RecordMissed,
    Vector,
    WeightsEpochInput,
    WeightsEpochResult,
    WeightsStatus,
)
from weather.faults import ConfigurationInvalid, WeightsNotPublished
from workflows.display import Explained
from workflows.failures import fault_of
from workflows.steps import left, perform

THERE = ("committed", "confirmed")


@workflow.defn
class WeightsEpoch(Explained):
    """An epoch that is not in every sink by its end fails, and is never made up for."""

    def __init__(self) -> None:
        self._why = Why(stage="weights", waiting_for="the epoch to open")
        self._status = WeightsStatus(stage="weights")

    @workflow.run
    async def run(self, request: WeightsEpochInput) -> WeightsEpochResult:
        epoch = await self._open(request)
        try:
            return await self._play(epoch)
        except ActivityError as error:
            await self._missed(epoch, fault_of(error))
            raise
        except WeightsNotPublished as silent:
            await self._missed(epoch, FaultNote.of(silent))
            raise

    @workflow.query
    def status(self) -> WeightsStatus:
        """Stage, vector, and where it stands in each sink."""
        return self._status.model_copy(update={"stage": self._why.stage})

    async def _open(self, request: WeightsEpochInput) -> Epoch:
        epoch = await perform(signatures.OPEN_EPOCH, request, "open the epoch")
        if (found := workflow.info().workflow_id) != (expected := epoch.request.workflow_id):
            raise ConfigurationInvalid("an epoch has one id", found=found, expected=expected)
        self._tell(epoch=epoch.epoch)
        if (early := epoch.as_of - workflow.now()) > timedelta(0):
            self._stand("weights", "the epoch to begin", epoch.as_of)
            await workflow.sleep(early)
        return epoch

    async def _play(self, epoch: Epoch) -> WeightsEpochResult:
        if workflow.now() >= epoch.publish_until:
            raise WeightsNotPublished("the epoch is past", found=workflow.now(), expected=epoch.publish_until)
        frozen, vector = await self._compute(epoch)
        self._tell(head=frozen.head, input_digest=vector.input_digest)
        self._stand("publish", f"{len(epoch.sinks)} sinks", epoch.publish_until, kind="platform")
        publications = tuple(await asyncio.gather(*(self._publish(epoch, sink) for sink in epoch.sinks)))
        silent = [each for each in publications if each.state not in THERE]
        if silent:
            why = "; ".join(f"{each.sink}: {each.fault.code if each.fault else each.state}" for each in silent)
            raise WeightsNotPublished(why, found=f"{len(silent)} of {len(publications)} sinks are silent")
        self._stand("published", "nothing: the weights are in every sink")
        return WeightsEpochResult(
            epoch=epoch.epoch, head=frozen.head, input_digest=vector.input_digest, publications=publications
        )

    async def _compute(self, epoch: Epoch) -> tuple[FrozenInputs, Vector]:
        step, time_left = EpochStep(epoch=epoch, at=workflow.now()), left(epoch.ends)
        self._stand("settle", "rounds past close_by to end", epoch.ends, kind="worker")
        await perform(signatures.SETTLE_OVERDUE, step, "settle overdue rounds", schedule_to_close_timeout=time_left)
        self._stand("freeze", "rounds and registry to be read", epoch.ends, kind="worker")
        await perform(signatures.COMPARE_REGISTRY, step, "compare registries", schedule_to_close_timeout=time_left)
        frozen = await perform(
            signatures.FREEZE_EPOCH_INPUTS, step, "freeze the inputs", schedule_to_close_timeout=time_left
        )
        self._stand("compute", f"weights of {frozen.rounds} rounds up to {frozen.head}", epoch.ends, kind="worker")
        vector = await perform(
            signatures.COMPUTE_VECTOR,
            ComputeVector(epoch=epoch, at=workflow.now(), inputs=frozen.inputs),
            f"compute from {frozen.rounds} rounds",
            schedule_to_close_timeout=time_left,
        )
        return frozen, vector

    async def _publish(self, epoch: Epoch, sink: str) -> Publication:
        """Its own failure is this sink's alone."""
        request = PublishWeights(epoch=epoch, at=workflow.now(), sink=sink)
        try:
            published = await perform(
                signatures.PUBLISH_WEIGHTS,
                request,
                f"publish to {sink}",
                schedule_to_close_timeout=left(epoch.publish_until),
            )
            self._note(published)
            published = await perform(
                signatures.CONFIRM_WEIGHTS,
                request,
                f"read back from {sink}",
                schedule_to_close_timeout=left(epoch.ends),
            )
        except ActivityError as error:
            published = Publication(sink=sink, state="missed", fault=fault_of(error))
        self._note(published)
        return published

    async def _missed(self, epoch: Epoch, fault: FaultNote) -> None:
        self._stand("missed", f"nothing: {fault.code}", kind="platform", fault=fault)
        missed = RecordMissed(epoch=epoch, at=workflow.now(), fault=fault)
        await perform(signatures.RECORD_MISSED, missed, f"missed: {fault.code}")

    def _note(self, publication: Publication) -> None:
        others = [each for each in self._status.publications if each.sink != publication.sink]
        self._tell(publications=tuple(sorted((*others, publication), key=lambda each: each.sink)))

    def _tell(self, **changes: object) -> None:
        self._status = self._status.model_copy(update=changes)
