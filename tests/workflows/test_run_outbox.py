"""A round backend is told beside the run, and a dead one delays nothing."""

from __future__ import annotations

from datetime import timedelta

from temporalio.testing import WorkflowEnvironment

from tests.workflows.conftest import workers
from tests.workflows.fakes import Script
from tests.workflows.test_forecast_run import MINERS, play
from tests.workflows.test_verbs import begin
from weather.faults import InternalError, SinkUnavailable


async def test_a_run_is_told_at_each_step_and_after_its_close(skipping: WorkflowEnvironment, cache: int) -> None:
    script = Script(MINERS, round_backend=True)
    result = await play(skipping, script, cache)
    assert result.outcome == "closed"
    assert len(script.calls["deliver_outbox"]) >= 4


async def test_nobody_is_told_unless_there_is_a_backend(skipping: WorkflowEnvironment) -> None:
    script = Script(MINERS)
    await play(skipping, script, 100)
    assert not script.calls["deliver_outbox"]


async def test_a_dead_backend_delays_no_close_and_is_told_when_it_is_back(
    skipping: WorkflowEnvironment, cache: int
) -> None:
    down = [SinkUnavailable("down", retry_after=timedelta(minutes=5))] * 12
    script = Script(MINERS, round_backend=True, faults={("deliver_outbox", "closed"): list(down)})
    async with workers(skipping.client, script, cache):
        handle, init_time = await begin(skipping)
        await handle.result()
        closed = (await handle.describe()).close_time
    assert script.calls["close_run"][0].at - init_time < timedelta(hours=48 + 126, minutes=5)
    assert closed and closed - script.calls["close_run"][0].at >= timedelta(hours=1)


async def test_a_delivery_that_fails_for_good_costs_the_run_nothing(skipping: WorkflowEnvironment) -> None:
    broken = [InternalError("bug")] * 50
    faults = {("deliver_outbox", "open"): list(broken), ("deliver_outbox", "closed"): list(broken)}
    result = await play(skipping, Script(MINERS, round_backend=True, faults=faults), 100)
    assert result.outcome == "closed"
