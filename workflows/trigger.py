"""`Trigger`: what a Schedule starts; it starts the run of its cycle under its business id, or joins it."""

from __future__ import annotations

from datetime import datetime, timedelta

from temporalio import workflow
from temporalio.common import SearchAttributeKey, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError

from activities.messages.run import ForecastRunInput, TriggerInput, TriggerResult
from workflows.forecast_run import ForecastRun

OPENS_AFTER_INIT = timedelta(seconds=12_600)
SCHEDULED_AT = SearchAttributeKey.for_datetime("TemporalScheduledStartTime")


@workflow.defn
class Trigger:
    """Names an init time, nothing else."""

    @workflow.run
    async def run(self, request: TriggerInput) -> TriggerResult:
        nominal = request.at or workflow.info().typed_search_attributes.get(SCHEDULED_AT) or workflow.now()
        run = ForecastRunInput(init_time=cycle_before(nominal), grid=request.grid)
        try:
            await workflow.start_child_workflow(
                ForecastRun.run,
                run,
                id=run.workflow_id,
                id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY,
                parent_close_policy=workflow.ParentClosePolicy.ABANDON,
            )
        except WorkflowAlreadyStartedError:
            return TriggerResult(workflow_id=run.workflow_id, joined=True)
        return TriggerResult(workflow_id=run.workflow_id, joined=False)


def cycle_before(nominal: datetime) -> datetime:
    """The last cycle that opens at or before `nominal`."""
    latest = nominal - OPENS_AFTER_INIT
    return latest.replace(hour=latest.hour - latest.hour % 6, minute=0, second=0, microsecond=0)
