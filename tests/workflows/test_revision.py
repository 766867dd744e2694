"""Revisions of valid times, with skipped time: what has changed is rescored, the rest is written down."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from temporalio.client import WorkflowFailureError
from temporalio.exceptions import ActivityError
from temporalio.testing import WorkflowEnvironment

from activities import task_queues
from activities.messages.revisions import RevisionInput, RevisionResult
from activities.messages.run import TriggerInput, TriggerResult
from tests.workflows.conftest import workers
from tests.workflows.fakes import Script
from tests.workflows.test_forecast_run import next_cycle
from weather.faults import ConfigurationInvalid, TruthNotYetAvailable
from workflows.revision import Revision
from workflows.trigger import REVISIONS_A_DAY, Trigger

LATER = timedelta(hours=6)


async def revise(env: WorkflowEnvironment, valid_time: datetime) -> RevisionResult:
    request, queue = RevisionInput(valid_time=valid_time), task_queues.CONTROL
    return await env.client.execute_workflow(Revision.run, request, id=request.workflow_id, task_queue=queue)


async def trigger(env: WorkflowEnvironment, at: datetime) -> TriggerResult:
    request, name = TriggerInput(kind="revisions", at=at), f"trigger/revisions-{at.isoformat()}"
    return await env.client.execute_workflow(Trigger.run, request, id=name, task_queue=task_queues.CONTROL)


async def test_one_delivery_serves_all_runs_and_only_what_has_changed_is_rescored(
    skipping: WorkflowEnvironment, cache: int
) -> None:
    not_yet = [TruthNotYetAvailable("era5t is there", retry_after=LATER)] * 3
    script = Script([], changed={24}, faults={("ensure_truth", "era5_final/48"): not_yet})
    at = next_cycle(begun := await skipping.get_current_time())
    async with workers(skipping.client, script, cache):
        result = await revise(skipping, at)
    assert [(lead.lead_hours, lead.rescored, lead.confirmed) for lead in result.leads] == [(48, 0, 68), (24, 3, 68)]
    assert {request.truth_version for request in script.calls["ensure_truth"]} == {"era5"}
    assert len(script.calls["ensure_truth"]) == 4 and await skipping.get_current_time() >= begun + 3 * LATER
    (rescored,) = script.calls["rescore_fields"]
    assert [one.lead_hours for one in rescored.truth.sets] == [24]
    assert rescored.run.init_time + timedelta(hours=24) == at
    assert [request.rescored is None for request in script.calls["record_revision"]] == [True, False]


async def test_a_lead_that_cannot_be_rescored_holds_up_no_other_and_fails_the_revision_at_its_end(
    skipping: WorkflowEnvironment, cache: int
) -> None:
    script = Script([], faults={("plan_revision", "48"): [ConfigurationInvalid("an older score spec")]})
    at = next_cycle(await skipping.get_current_time())
    async with workers(skipping.client, script, cache):
        with pytest.raises(WorkflowFailureError, match="execution failed") as failed:
            await revise(skipping, at)
        assert isinstance(failed.value.cause, ActivityError)
        assert [request.truth.sets[0].lead_hours for request in script.calls["record_revision"]] == [24]
        assert len((await revise(skipping, at)).leads) == 2


async def test_a_revision_under_another_id_fails_at_once(skipping: WorkflowEnvironment) -> None:
    request = RevisionInput(valid_time=datetime.fromisoformat("2026-11-22T18:00:00Z"))
    async with workers(skipping.client, Script([]), 100):
        with pytest.raises(WorkflowFailureError) as refused:
            await skipping.client.execute_workflow(
                Revision.run, request, id="revision/2026-11-22", task_queue=task_queues.CONTROL
            )
    assert "expected revision/2026-11-22T18Z/era5" in str(refused.value.cause)


async def test_the_schedule_starts_one_for_each_valid_time_whose_truth_has_come_and_none_twice(
    skipping: WorkflowEnvironment, cache: int
) -> None:
    first = next_cycle(await skipping.get_current_time())
    times = tuple(first + timedelta(hours=6 * number) for number in range(3))
    script = Script([], unrevised=times, published=set(times[:2]))
    ids = tuple(RevisionInput(valid_time=each).workflow_id for each in times)
    async with workers(skipping.client, script, cache):
        assert await trigger(skipping, first) == TriggerResult(revisions=ids[:2])
        for workflow_id in ids[:2]:
            await skipping.client.get_workflow_handle(workflow_id).result()
        script.published |= set(times)
        assert await trigger(skipping, first + timedelta(days=1)) == TriggerResult(revisions=ids[2:])
        await skipping.client.get_workflow_handle(ids[2]).result()
    assert [request.at for request in script.calls["find_revisions"]] == [first, first + timedelta(days=1)]


async def test_a_day_starts_a_few_of_many_so_that_live_runs_reach_the_archive(skipping: WorkflowEnvironment) -> None:
    first = next_cycle(await skipping.get_current_time())
    times = tuple(first + timedelta(hours=6 * number) for number in range(REVISIONS_A_DAY + 5))
    script = Script([], unrevised=times, published=set(times))
    async with workers(skipping.client, script, 100):
        begun = (await trigger(skipping, first)).revisions
        for workflow_id in begun:
            await skipping.client.get_workflow_handle(workflow_id).result()
    assert begun == tuple(RevisionInput(valid_time=each).workflow_id for each in times[5:])
