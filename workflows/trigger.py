"""`Trigger`: what a Schedule starts; it starts what is due under its business id, or joins it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from temporalio import workflow
from temporalio.common import SearchAttributeKey, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError

from activities import signatures
from activities.messages.retention import RetentionInput
from activities.messages.run import ForecastRunInput, TriggerInput, TriggerResult
from activities.messages.weights import WeightsEpochInput
from workflows.forecast_run import ForecastRun
from workflows.retention import Retention
from workflows.steps import perform
from workflows.weights_epoch import WeightsEpoch

Due = ForecastRunInput | RetentionInput | WeightsEpochInput
OPENS_AFTER_INIT = timedelta(seconds=12_600)
SCHEDULED_AT = SearchAttributeKey.for_datetime("TemporalScheduledStartTime")


@workflow.defn
class Trigger:
    """Names an init time, a day or an epoch, nothing else."""

    @workflow.run
    async def run(self, request: TriggerInput) -> TriggerResult:
        nominal = request.at or workflow.info().typed_search_attributes.get(SCHEDULED_AT) or workflow.now()
        kind, due = await what_is_due(request, nominal.astimezone(UTC))
        try:
            await workflow.start_child_workflow(
                kind,
                due,
                id=due.workflow_id,
                id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY,
                parent_close_policy=workflow.ParentClosePolicy.ABANDON,
            )
        except WorkflowAlreadyStartedError:
            return TriggerResult(workflow_id=due.workflow_id, joined=True)
        return TriggerResult(workflow_id=due.workflow_id, joined=False)


async def what_is_due(request: TriggerInput, nominal: datetime) -> tuple[Any, Due]:
    """The workflow to start and its input."""
    if request.kind == "retention":
        return Retention.run, RetentionInput(day=nominal.date())
    if request.kind == "weights":
        epoch = await perform(signatures.OPEN_EPOCH, WeightsEpochInput(as_of=nominal), "name the epoch")
        return WeightsEpoch.run, epoch.request
    return ForecastRun.run, ForecastRunInput(init_time=cycle_before(nominal), grid=request.grid)


def cycle_before(nominal: datetime) -> datetime:
    """The last cycle that opens at or before `nominal`."""
    latest = nominal - OPENS_AFTER_INIT
    return latest.replace(hour=latest.hour - latest.hour % 6, minute=0, second=0, microsecond=0)
