"""`WeightsEpoch`: computes once from closed rounds, publishes to each sink, confirms."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

from temporalio import workflow
from temporalio.exceptions import ActivityError, is_cancelled_exception

from activities import policies
from activities.messages.base import FaultNote
from activities.messages.status import Kind, Why
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
from activities.signatures.weights import Rounds, Weights, WeightSinks
from weather.faults import ConfigurationInvalid, WeightsNotPublished
from workflows import display
from workflows.failures import fault_note, fault_of

THERE = ("committed", "confirmed")


@workflow.defn
class WeightsEpoch:
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
            if is_cancelled_exception(error):
                raise
            await self._missed(epoch, fault_of(error))
            raise
        except WeightsNotPublished as silent:
            await self._missed(epoch, fault_note(silent))
            raise

    @workflow.query
    def status(self) -> WeightsStatus:
        """Stage, vector, and where it stands in each sink."""
        return self._status

    @workflow.query
    def why(self) -> Why:
        """What the epoch waits for, until when."""
        return self._why

    async def _open(self, request: WeightsEpochInput) -> Epoch:
        epoch = await workflow.execute_activity_method(
            Weights.open_epoch, request, summary="open the epoch", **policies.RECORD
        )
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
        self._stand("published", "nothing: the weights are in every sink", None)
        return WeightsEpochResult(
            epoch=epoch.epoch, head=frozen.head, input_digest=vector.input_digest, publications=publications
        )

    async def _compute(self, epoch: Epoch) -> tuple[FrozenInputs, Vector]:
        options = policies.until(policies.COUNT_ROUNDS, epoch.ends - workflow.now())
        step = EpochStep(epoch=epoch, at=workflow.now())
        self._stand("settle", "rounds past close_by to end", epoch.ends, kind="worker")
        await workflow.execute_activity_method(Rounds.settle_overdue, step, summary="settle overdue rounds", **options)
        self._stand("freeze", "rounds and registry to be read", epoch.ends, kind="worker")
        await workflow.execute_activity_method(Rounds.compare_registry, step, summary="compare registries", **options)
        frozen = await workflow.execute_activity_method(
            Weights.freeze_epoch_inputs, step, summary="freeze the inputs", **options
        )
        self._stand("compute", f"weights of {frozen.rounds} rounds up to {frozen.head}", epoch.ends, kind="worker")
        vector = await workflow.execute_activity_method(
            Weights.compute_vector,
            ComputeVector(epoch=epoch, at=workflow.now(), inputs=frozen.inputs),
            summary=f"compute from {frozen.rounds} rounds",
            **options,
        )
        return frozen, vector

    async def _publish(self, epoch: Epoch, sink: str) -> Publication:
        """Its own failure is this sink's alone."""
        request = PublishWeights(epoch=epoch, at=workflow.now(), sink=sink)
        try:
            published = await workflow.execute_activity_method(
                WeightSinks.publish_weights,
                request,
                summary=f"publish to {sink}",
                **policies.until(policies.PUBLISH_WEIGHTS, epoch.publish_until - workflow.now()),
            )
            self._note(published)
            published = await workflow.execute_activity_method(
                WeightSinks.confirm_weights,
                request,
                summary=f"read back from {sink}",
                **policies.until(policies.CONFIRM_WEIGHTS, epoch.ends - workflow.now()),
            )
        except ActivityError as error:
            if is_cancelled_exception(error):
                raise
            published = Publication(sink=sink, state="missed", fault=fault_of(error))
        self._note(published)
        return published

    async def _missed(self, epoch: Epoch, fault: FaultNote) -> None:
        self._stand("missed", f"nothing: {fault.code}", None, kind="platform", fault=fault)
        await workflow.execute_activity_method(
            Weights.record_missed,
            RecordMissed(epoch=epoch, at=workflow.now(), fault=fault),
            summary=f"missed: {fault.code}",
            **policies.RECORD,
        )

    def _note(self, publication: Publication) -> None:
        others = [each for each in self._status.publications if each.sink != publication.sink]
        self._tell(publications=tuple(sorted((*others, publication), key=lambda each: each.sink)))

    def _tell(self, **changes: object) -> None:
        self._status = self._status.model_copy(update=changes)

    def _stand(
        self,
        stage: str,
        waiting_for: str,
        until: datetime | None,
        *,
        kind: Kind = "timer",
        fault: FaultNote | None = None,
    ) -> None:
        self._tell(stage=stage)
        self._why = Why(
            stage=stage, waiting_for=waiting_for, kind=kind, since=workflow.now(), until=until, last_fault=fault
        )
        workflow.set_current_details(display.details(self._why))
