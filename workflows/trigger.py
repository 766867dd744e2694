"""`Trigger`: what a Schedule starts; it starts what is due under its business id, or joins it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

from temporalio import workflow
from temporalio.common import SearchAttributeKey, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError

from activities import signatures
from activities.messages.retention import RetentionInput
from activities.messages.revisions import FindRevisions, RevisionInput
from activities.messages.run import ForecastRunInput, TriggerInput, TriggerResult
from activities.messages.weights import WeightsEpochInput
from workflows.forecast_run import ForecastRun
from workflows.retention import Retention
from workflows.revision import Revision
from workflows.steps import perform
from workflows.weights_epoch import WeightsEpoch

Due = ForecastRunInput | RetentionInput | WeightsEpochInput
REVISIONS_A_DAY = 8  # twice what a day brings: they share the archive's slots with live runs
OPENS_AFTER_INIT = timedelta(seconds=12_600)
SCHEDULED_AT = SearchAttributeKey.for_datetime("TemporalScheduledStartTime")


@workflow.defn
class Trigger:
    """Names an init time, a day, an epoch or valid times, nothing else."""

    @workflow.run
    async def run(self, request: TriggerInput) -> TriggerResult:
        nominal = request.at or workflow.info().typed_search_attributes.get(SCHEDULED_AT) or workflow.now()
        if request.kind == "revisions":
            return TriggerResult(revisions=await start_revisions(nominal))
        kind, due = await what_is_due(request, nominal.astimezone(UTC))
        return TriggerResult(workflow_id=due.workflow_id, joined=not await started(kind, due))


async def started(kind: Any, due: Due | RevisionInput) -> bool:
    """Start it; false if it is there already."""
    try:
        await workflow.start_child_workflow(
            kind,
            due,
            id=due.workflow_id,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY,
            parent_close_policy=workflow.ParentClosePolicy.ABANDON,
        )
    except WorkflowAlreadyStartedError:
        return False
    return True


async def start_revisions(nominal: datetime) -> tuple[str, ...]:
    """One for each of the newest valid times whose final truth has come; answers which were not there yet."""
    scored = await perform(signatures.FIND_REVISIONS, FindRevisions(at=nominal), "find leads that nothing revised")
    there = await perform(signatures.PUBLISHED_TRUTH, scored, "ask which truth has come")
    due = [RevisionInput(valid_time=each) for each in there.valid_times[-REVISIONS_A_DAY:]]
    new = await asyncio.gather(*(started(Revision.run, each) for each in due))
    return tuple(each.workflow_id for each, is_new in zip(due, new, strict=True) if is_new)


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
