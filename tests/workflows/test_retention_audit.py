"""Audits on a server that skips time: at their instants, in rounds, from execution to execution."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from temporalio.client import WorkflowFailureError, WorkflowHandle
from temporalio.common import WorkflowIDReusePolicy
from temporalio.exceptions import CancelledError
from temporalio.testing import WorkflowEnvironment
from temporalio.workflow import ParentClosePolicy

from activities import task_queues
from activities.messages.audits import ObjectNote, RecordAudit, RetentionAuditInput, RetentionAuditResult
from activities.messages.base import FaultNote
from activities.messages.run import CampaignRef, ForecastRunInput, Run
from protocol.names import audits_workflow_id
from tests.workflows.conftest import workers
from tests.workflows.script import DIGEST, REF, Script
from weather.faults import LedgerConflict, ObjectAbsent, OutOfMemory
from workflows.forecast_run import ForecastRun
from workflows.retention_audit import RetentionAudit

HONEST, GONE = "1" * 64, "2" * 64
ABSENT = (ObjectNote(path="2t/c/0/0/0", fault=FaultNote(code="ObjectAbsent", cause="miner")),)
MOST_EVENTS = 1_500


def run_at(now: datetime) -> Run:
    init_time = now.replace(hour=now.hour - now.hour % 6, minute=0, second=0, microsecond=0)
    return Run(
        network="test",
        run_id=ForecastRunInput(init_time=init_time).workflow_id,
        init_time=init_time,
        purpose="live",
        grid="5p625",
        layout_digest=DIGEST,
        score_spec_digest=DIGEST,
        day1_lead_hours=(6,),
        final_lead_hours=(240,),
        opened_at=now,
        close_by=now + timedelta(days=30),
        seal_grace=timedelta(minutes=1),
        truth_delay=timedelta(hours=126),
        heartbeat_timeout=timedelta(minutes=1),
    )


async def start(environment: WorkflowEnvironment) -> WorkflowHandle[RetentionAudit, RetentionAuditResult]:
    run = run_at(await environment.get_current_time())
    return await environment.client.start_workflow(
        RetentionAudit.run,
        RetentionAuditInput(run=run, roster=REF),
        id=audits_workflow_id(run.run_id),
        task_queue=task_queues.CONTROL,
        id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY,
    )


async def play(environment: WorkflowEnvironment, script: Script, cache: int) -> RetentionAuditResult:
    async with workers(environment.client, script, cache):
        return await (await start(environment)).result()


def recorded(script: Script) -> dict[str, list[RecordAudit]]:
    found: dict[str, list[RecordAudit]] = {}
    for record in script.calls["record_audits"]:
        found.setdefault(record.audit.hotkey, []).append(record)
    return found


async def executions(environment: WorkflowEnvironment, handle: WorkflowHandle) -> AsyncIterator[int]:
    """Events of each execution of the chain."""
    run_id = handle.result_run_id
    while run_id:
        events = [
            e async for e in environment.client.get_workflow_handle(handle.id, run_id=run_id).fetch_history_events()
        ]
        yield len(events)
        run_id = events[-1].workflow_execution_continued_as_new_event_attributes.new_execution_run_id


async def test_each_audit_begins_at_its_instant_and_is_recorded(skipping: WorkflowEnvironment, cache: int) -> None:
    now = await skipping.get_current_time()
    instants = [now + timedelta(hours=hours) for hours in (1, 30, 31, 200)]
    script = Script([], audits={HONEST: instants, GONE: instants[:1]})
    result = await play(skipping, script, cache)
    assert result == RetentionAuditResult(done=5, failed=0)
    late = [record.at - record.audit.due for records in recorded(script).values() for record in records]
    assert len(late) == 5 and max(late) <= timedelta(seconds=60) and min(late) >= timedelta(0)


async def test_what_is_not_served_is_asked_for_in_three_rounds_while_other_audits_are_on_time(
    skipping: WorkflowEnvironment, cache: int
) -> None:
    now = await skipping.get_current_time()
    script = Script(
        [],
        audits={GONE: [now + timedelta(hours=1)], HONEST: [now + timedelta(hours=1, minutes=half) for half in (1, 90)]},
        audited={(GONE, 0): ABSENT},
    )
    assert await play(skipping, script, cache) == RetentionAuditResult(done=3, failed=1)
    (failed,) = recorded(script)[GONE]
    assert failed.faults == ABSENT
    assert timedelta(hours=6) <= failed.at - failed.audit.due <= timedelta(hours=6, seconds=60)
    rounds = [call.last_round for call in script.calls["audit_objects"] if call.audit.hotkey == GONE]
    assert rounds == [False, False, True]
    assert all(record.at - record.audit.due <= timedelta(seconds=60) for record in recorded(script)[HONEST])


async def test_attempts_of_a_round_are_retries(skipping: WorkflowEnvironment, cache: int) -> None:
    now = await skipping.get_current_time()
    script = Script([], audits={HONEST: [now]}, faults={("audit_objects", f"{HONEST}/0"): [ObjectAbsent("x")] * 2})
    assert await play(skipping, script, cache) == RetentionAuditResult(done=1, failed=0)
    assert len(script.calls["audit_objects"]) == 3


async def test_an_audit_that_we_could_not_make_is_void_and_the_others_go_on(
    skipping: WorkflowEnvironment, cache: int
) -> None:
    now = await skipping.get_current_time()
    ours = OutOfMemory("no memory")
    script = Script(
        [], audits={GONE: [now], HONEST: [now + timedelta(hours=1)]}, faults={("audit_objects", f"{GONE}/0"): [ours]}
    )
    assert await play(skipping, script, cache) == RetentionAuditResult(done=2, failed=0)
    (void,) = recorded(script)[GONE]
    assert void.void is not None and (void.void.code, void.faults) == ("OutOfMemory", ())


@pytest.mark.parametrize("cache", [100], ids=["cached"])
async def test_a_long_chain_goes_on_with_the_rounds_that_wait(skipping: WorkflowEnvironment, cache: int) -> None:
    """An audit that fails is between its rounds when the execution gets too long."""
    now = await skipping.get_current_time()
    often = [now + timedelta(minutes=4 * number) for number in range(100)]
    script = Script([], audits={HONEST: often, GONE: [often[20]]}, audited={(GONE, 0): ABSENT})
    async with workers(skipping.client, script, cache):
        handle = await start(skipping)
        assert await handle.result() == RetentionAuditResult(done=101, failed=1)
        lengths = [length async for length in executions(skipping, handle)]
    assert len(lengths) > 2 and max(lengths) <= MOST_EVENTS
    (failed,) = recorded(script)[GONE]
    assert timedelta(hours=6) <= failed.at - failed.audit.due <= timedelta(hours=6, seconds=60)
    assert [call.last_round for call in script.calls["audit_objects"] if call.audit.hotkey == GONE] == [
        False,
        False,
        True,
    ]
    assert all(record.at - record.audit.due <= timedelta(seconds=60) for record in recorded(script)[HONEST])


async def test_a_live_run_starts_its_audits_after_the_seal_to_end_with_it(
    skipping: WorkflowEnvironment, cache: int
) -> None:
    now = await skipping.get_current_time()
    script = Script([HONEST], leads=(24,), audits={HONEST: [now + timedelta(hours=20)]})
    request = ForecastRunInput(init_time=run_at(now).init_time)
    async with workers(skipping.client, script, cache):
        handle = await skipping.client.start_workflow(
            ForecastRun.run, request, id=request.workflow_id, task_queue=task_queues.CONTROL
        )
        assert (await handle.result()).outcome == "closed"
        started = [
            event.start_child_workflow_execution_initiated_event_attributes
            async for event in handle.fetch_history_events()
            if event.HasField("start_child_workflow_execution_initiated_event_attributes")
        ]
    audits = next(child for child in started if child.workflow_type.name == "RetentionAudit")
    assert audits.workflow_id == audits_workflow_id(request.workflow_id)
    assert audits.parent_close_policy == ParentClosePolicy.REQUEST_CANCEL
    assert [call.audit.hotkey for call in script.calls["audit_objects"]] == [HONEST]
    assert len(script.calls["compare_commitments"]) == 2


async def test_a_hindcast_is_compared_and_not_audited(skipping: WorkflowEnvironment, cache: int) -> None:
    script = Script([HONEST], leads=(24,))
    request = ForecastRunInput(init_time=datetime(2026, 10, 1, tzinfo=UTC), campaign=CampaignRef(name="demo"))
    async with workers(skipping.client, script, cache):
        await skipping.client.execute_workflow(
            ForecastRun.run, request, id=request.workflow_id, task_queue=task_queues.CONTROL
        )
    assert not script.calls["take_audits"]
    assert len(script.calls["compare_commitments"]) == 2


async def test_cancelled_audits_stop_at_once(skipping: WorkflowEnvironment, cache: int) -> None:
    now = await skipping.get_current_time()
    script = Script([], audits={HONEST: [now, now + timedelta(days=9)], GONE: [now]}, audited={(GONE, 0): ABSENT})
    async with workers(skipping.client, script, cache):
        handle = await start(skipping)
        await handle.cancel()
        with pytest.raises(WorkflowFailureError) as cancelled:
            await handle.result()
    assert isinstance(cancelled.value.cause, CancelledError)
    assert not [call for call in script.calls["audit_objects"] if call.audit.number == 1]


async def test_a_run_whose_audits_fail_closes_all_the_same(skipping: WorkflowEnvironment, cache: int) -> None:
    now = await skipping.get_current_time()
    script = Script([HONEST], leads=(24,), faults={("take_audits", ""): [LedgerConflict("x")]})
    request = ForecastRunInput(init_time=run_at(now).init_time)
    async with workers(skipping.client, script, cache):
        result = await skipping.client.execute_workflow(
            ForecastRun.run, request, id=request.workflow_id, task_queue=task_queues.CONTROL
        )
    assert result.outcome == "closed"


async def test_the_audits_say_what_they_wait_for(skipping: WorkflowEnvironment) -> None:
    now = await skipping.get_current_time()
    async with workers(skipping.client, Script([], audits={HONEST: [now]}), 100):
        handle = await start(skipping)
        await handle.result()
        why = await handle.query(RetentionAudit.why)
    assert why.waiting_for == "nothing: 1 audits are done, 0 failed"
