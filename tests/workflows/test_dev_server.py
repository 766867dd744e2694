"""What only the real server does: search attributes, refused ids, cancellation, and the size of histories."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from datetime import UTC, datetime, timedelta

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowFailureError, WorkflowHandle, WorkflowHistory
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import CancelledError, WorkflowAlreadyStartedError

from activities import task_queues
from activities.messages.run import CampaignRef, ForecastRunInput, ForecastRunResult
from adapters.temporal_client import connect
from protocol import names
from starter.embedded import NAMESPACE
from tests.stack import child_of, schedules, seen
from tests.workflows.dev_server import dev_server, listed, pod
from tests.workflows.fakes import Script
from weather.faults import MinerUnreachable
from workflows.forecast_run import ForecastRun

pytestmark = pytest.mark.server

LONG_AGO = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=20)
MINERS = [f"{number:064x}" for number in range(1, 4)]
SECOND = timedelta(seconds=1)
KIBIBYTE = 1024


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Generator[str]:
    with dev_server(tmp_path_factory.mktemp("temporal")) as address:
        yield address


@pytest.fixture
async def client(address: str) -> Client:
    return await connect(address, NAMESPACE)


async def start(client: Client, campaign: str) -> WorkflowHandle[ForecastRun, ForecastRunResult]:
    request = ForecastRunInput(init_time=LONG_AGO, campaign=CampaignRef(name=campaign))
    return await client.start_workflow(
        ForecastRun.run,
        request,
        id=request.workflow_id,
        task_queue=task_queues.CONTROL,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY,
    )


async def history(client: Client, workflow_id: str) -> WorkflowHistory:
    return await client.get_workflow_handle(workflow_id).fetch_history()


async def test_many_starts_at_once_are_one_run_and_one_after_its_end_is_refused(client: Client) -> None:
    script = Script(MINERS, commit_wait=SECOND)
    async with pod(client, script):
        runs = await asyncio.gather(*(start(client, "twice") for _ in range(20)))
        assert len({run.result_run_id for run in runs}) == 1
        await runs[0].result()
        with pytest.raises(WorkflowAlreadyStartedError):
            await start(client, "twice")
    assert len(script.calls["open_run"]) == 1


async def test_a_run_its_miners_and_its_passes_are_found_by_what_operators_know(client: Client) -> None:
    async with pod(client, Script(MINERS, commit_wait=SECOND)):
        run = await start(client, "attributes")
        part = await child_of(run, client, names.miner_workflow_id(run.id, MINERS[0]))
        assert await listed(client, f'BarographMiner = "{MINERS[0]}" AND BarographRun = "{run.id}"', 1) == {part.id}
        assert run.id in await listed(client, 'BarographStage = "forecast"', 1)
        await run.result()
        finals = {names.pass_workflow_id(run.id, "era5_final", lead) for lead in (24, 48)}
        assert await listed(client, f'BarographPass = "era5_final" AND BarographRun = "{run.id}"', 2) == finals
        day = f'BETWEEN "{names.format_time(LONG_AGO)}" AND "{names.format_time(LONG_AGO + SECOND)}"'
        whole = await listed(client, f'BarographInit {day} AND BarographRun = "{run.id}"', 7)
        assert len(whole) == 1 + len(MINERS) + 3
        assert await listed(client, 'BarographCampaign = "attributes" AND BarographStage = "aggregate"', 1) == {run.id}


async def test_an_open_run_says_what_it_waits_for_until_when_and_how_far_it_is(client: Client) -> None:
    script = Script(MINERS, commit_wait=timedelta(hours=1))
    async with pod(client, script):
        run = await start(client, "queries")
        await seen(run, lambda event: event.event_type == EventType.EVENT_TYPE_TIMER_STARTED)
        why, status = await run.query(ForecastRun.why), await run.query(ForecastRun.status)
        assert (why.stage, why.waiting_for) == ("forecast", f"commitments of {len(MINERS)} miners")
        assert why.until == status.commit_deadline
        assert (status.stage, status.outcome) == ("forecast", None)
        assert (await run.query(ForecastRun.progress)).asked == len(MINERS)
        await ended(run)


async def test_a_cancelled_run_and_its_children_end_as_cancelled_and_it_is_told_once(client: Client) -> None:
    script = Script(
        MINERS,
        commit_wait=timedelta(hours=1),
        faults={("request_forecast", hotkey): [MinerUnreachable("refused")] * 100 for hotkey in MINERS},
    )
    async with pod(client, script):
        run = await start(client, "cancelled")
        parts = [await child_of(run, client, names.miner_workflow_id(run.id, hotkey)) for hotkey in MINERS]
        for part in parts:
            await seen(part, schedules("request_forecast"))
        async with asyncio.timeout(10):
            await ended(run)
            assert [await status_at_end(part) for part in parts] == [WorkflowExecutionStatus.CANCELED] * len(MINERS)
    assert [call.run_id for call in script.calls["cancel_run"]] == [run.id]


async def test_forty_miners_stay_far_below_the_bars_of_history(client: Client) -> None:
    hotkeys = [f"{number:064x}" for number in range(1, 41)]
    async with pod(client, Script(hotkeys, commit_wait=5 * SECOND)):
        run = await start(client, "forty")
        assert (await run.result()).verified == 40
    whole = await history(client, run.id)
    miners = [await history(client, names.miner_workflow_id(run.id, hotkey)) for hotkey in hotkeys]
    passes = [await history(client, names.pass_workflow_id(run.id, "era5_final", lead)) for lead in (24, 48)]
    assert len(whole.events) <= 3000
    assert max(len(each.events) for each in miners) <= 120
    assert max(len(each.events) for each in passes) <= 2500
    assert max(event.ByteSize() for each in (whole, *miners, *passes) for event in each.events) <= 64 * KIBIBYTE


async def ended(run: WorkflowHandle) -> None:
    await run.cancel()
    with pytest.raises(WorkflowFailureError) as failed:
        await run.result()
    assert isinstance(failed.value.cause, CancelledError)


async def status_at_end(workflow: WorkflowHandle) -> WorkflowExecutionStatus | None:
    async for _ in workflow.fetch_history_events(wait_new_event=True):
        pass
    return (await workflow.describe()).status
