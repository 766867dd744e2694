"""The operator's hand on a run: verbs as updates, on a server that skips time."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from temporalio.client import WorkflowHandle, WorkflowUpdateFailedError
from temporalio.testing import WorkflowEnvironment

from activities.messages.miner import CommitmentRecorded
from activities.messages.operator import InterventionReceipt
from activities.messages.run import ForecastRunInput, MinerDeregistered
from tests.workflows.conftest import workers
from tests.workflows.fakes import Script
from tests.workflows.script import DIGEST, REF
from tests.workflows.test_forecast_run import GONE, MINERS, next_cycle, start
from weather.faults import ManifestMalformed, TruthNotYetAvailable
from workflows.forecast_run import ForecastRun

BY = {"actor": "ada", "reason": "a test"}
RECORDED = CommitmentRecorded(commitment=REF, commitment_digest=DIGEST, leaf_index=0, in_time=True)
DAY = timedelta(days=1)


async def begin(environment: WorkflowEnvironment) -> tuple[WorkflowHandle, datetime]:
    init_time = next_cycle(await environment.get_current_time())
    return await start(environment, ForecastRunInput(init_time=init_time)), init_time


async def update(handle: WorkflowHandle, verb: str, **more: Any) -> InterventionReceipt:
    return await handle.execute_update(verb, BY | more, result_type=InterventionReceipt)


async def skip_to(environment: WorkflowEnvironment, at: datetime) -> None:
    await environment.sleep(at - await environment.get_current_time())


async def test_a_hold_over_due_passes_is_released_and_changes_nothing(
    skipping: WorkflowEnvironment, cache: int
) -> None:
    script = Script(MINERS)
    async with workers(skipping.client, script, cache):
        handle, init_time = await begin(skipping)
        await skip_to(skipping, init_time + DAY)
        held = await update(handle, "hold")
        await skip_to(skipping, init_time + 8 * DAY)
        assert [call.lead_hours for call in script.calls["start_pass"] if call.to == "queued"] == [0]
        why = await handle.query(ForecastRun.why)
        assert (why.stage, why.kind, why.waiting_for) == ("hold", "operator", "ada to release the run")
        await update(handle, "release")
        result = await handle.result()
    assert held.verb == "hold" and result.outcome == "closed"
    assert script.calls["start_pass"][-1].at < init_time + 9 * DAY


async def test_a_hold_that_nobody_releases_is_void_when_the_run_must_close(skipping: WorkflowEnvironment) -> None:
    """AT-R9."""
    script = Script(MINERS)
    async with workers(skipping.client, script, 100):
        handle, init_time = await begin(skipping)
        await update(handle, "hold")
        result = await handle.result()
        ended = (await handle.describe()).close_time
    assert (result.outcome, result.outcome_reason) == ("void", "operator")
    assert script.calls["close_run"][0].at >= init_time + timedelta(hours=48 + 126, days=10)
    assert ended and ended - script.calls["close_run"][0].at < timedelta(minutes=1)


async def test_void_ends_a_run_at_once_with_its_children(skipping: WorkflowEnvironment, cache: int) -> None:
    script = Script(MINERS)
    async with workers(skipping.client, script, cache):
        handle, init_time = await begin(skipping)
        await skip_to(skipping, init_time + 2 * DAY)
        await update(handle, "void")
        result = await handle.result()
    assert (result.outcome, result.outcome_reason) == ("void", "operator")
    assert script.calls["close_run"][0].at < init_time + 3 * DAY and not script.calls["cancel_run"]


async def test_accept_ends_the_waiting_for_truth_that_does_not_come(skipping: WorkflowEnvironment, cache: int) -> None:
    late = [TruthNotYetAvailable("not yet", retry_after=timedelta(hours=6)) for _ in range(100)]
    script = Script(MINERS, faults={("ensure_truth", "era5_final/48"): late}, tasks={"accept": {"leads": [48]}})
    async with workers(skipping.client, script, cache):
        handle, init_time = await begin(skipping)
        await skip_to(skipping, init_time + 8 * DAY)
        await update(handle, "accept", scope="lead:48")
        result = await handle.result()
    assert result.outcome == "closed"
    assert script.calls["close_run"][0].at < init_time + 9 * DAY


async def test_a_lead_that_was_skipped_before_it_is_due_is_never_scored(skipping: WorkflowEnvironment) -> None:
    script = Script(MINERS, tasks={"skip": {"leads": [24]}})
    async with workers(skipping.client, script, 100):
        handle, init_time = await begin(skipping)
        await skip_to(skipping, init_time + 2 * DAY)
        await update(handle, "skip", scope="lead:24")
        await handle.result()
    assert {call.lead_hours for call in script.calls["start_pass"]} == {0, 48}


async def test_a_void_lead_is_scored_once_more_and_then_the_run_closes(
    skipping: WorkflowEnvironment, cache: int
) -> None:
    tasks = {"rerun": {"leads": [24], "generation": 2}}
    script = Script(MINERS, outcomes=["void", "closed"], tasks=tasks)
    async with workers(skipping.client, script, cache):
        handle, init_time = await begin(skipping)
        await skip_to(skipping, init_time + timedelta(hours=48 + 126 + 24))
        why = await handle.query(ForecastRun.why)
        assert (why.stage, why.kind, why.verbs[:2]) == ("aggregate", "operator", ("hold", "rerun"))
        await update(handle, "rerun", scope="lead:24")
        result = await handle.result()
    assert result.outcome == "closed"
    again = [call for call in script.calls["start_pass"] if call.generation == 2]
    assert {call.lead_hours for call in again} == {24} and len(script.calls["aggregate_run"]) == 2


async def test_nobody_helps_and_the_run_is_void_after_its_second_chance(skipping: WorkflowEnvironment) -> None:
    script = Script(MINERS, outcomes=["void", "void"])
    async with workers(skipping.client, script, 100):
        handle, init_time = await begin(skipping)
        await handle.result()
    waited = script.calls["close_run"][0].at - (init_time + timedelta(hours=48 + 126))
    assert timedelta(hours=72) <= waited < timedelta(hours=73)


async def test_a_run_in_doubt_waits_for_somebody_to_accept_it(skipping: WorkflowEnvironment, cache: int) -> None:
    script = Script(MINERS, doubts=["climatology scores 0.3"])
    async with workers(skipping.client, script, cache):
        handle, init_time = await begin(skipping)
        await skip_to(skipping, init_time + timedelta(hours=48 + 126 + 100))
        why = await handle.query(ForecastRun.why)
        assert (why.kind, why.waiting_for) == ("operator", "an operator: climatology scores 0.3")
        assert not script.calls["close_run"]
        await update(handle, "accept")
        result = await handle.result()
    assert result.outcome == "closed" and len(script.calls["aggregate_run"]) == 2


async def test_a_run_in_doubt_that_nobody_accepts_is_closed_at_its_last_instant(skipping: WorkflowEnvironment) -> None:
    script = Script(MINERS, doubts=["climatology scores 0.3"] * 2)
    async with workers(skipping.client, script, 100):
        handle, init_time = await begin(skipping)
        await handle.result()
    late = script.calls["close_run"][0].at - (init_time + timedelta(hours=48 + 126, days=10))
    assert timedelta() <= late < timedelta(minutes=1)


async def test_a_miner_is_verified_once_more_and_scored_where_the_others_were(
    skipping: WorkflowEnvironment, cache: int
) -> None:
    rerun = {"leads": [0, 24], "generation": 2, "hotkey": GONE, "commitment": RECORDED}
    script = Script(MINERS, tasks={"rerun": rerun}, faults={("verify_manifest", GONE): [ManifestMalformed("bad")]})
    async with workers(skipping.client, script, cache):
        handle, init_time = await begin(skipping)
        await skip_to(skipping, init_time + timedelta(hours=24 + 126 + 6))
        await update(handle, "rerun", scope=f"miner:{GONE}")
        await handle.result()
    settled = [call for call in script.calls["settle_miner"] if call.hotkey == GONE]
    assert [(one.generation, one.store is None) for one in settled] == [(1, True), (2, False)]
    fetched = [call for call in script.calls["fetch_lead"] if call.miner.hotkey == GONE]
    assert sorted(max(call.lead_hours) for call in fetched) == [12, 24, 48]
    assert len(script.calls["request_forecast"]) == len(MINERS)
    generations = {(call.lead_hours, call.generation) for call in script.calls["start_pass"]}
    assert generations == {(0, 1), (24, 1), (0, 2), (24, 2), (48, 2)}


@pytest.mark.parametrize(
    ("verb", "more", "said"),
    [
        ("release", {}, "not held"),
        ("rerun", {}, "names its scope"),
        ("skip", {"scope": "miner:x"}, "void for one miner does not exist"),
        ("hold", {"reason": ""}, ""),
        ("hold", {"colour": "red"}, ""),
    ],
)
async def test_what_a_validator_refuses_leaves_no_trace(
    skipping: WorkflowEnvironment, verb: str, more: dict[str, Any], said: str
) -> None:
    script = Script(MINERS)
    async with workers(skipping.client, script, 100):
        handle, _ = await begin(skipping)
        with pytest.raises(WorkflowUpdateFailedError) as refused:
            await update(handle, verb, **more)
        assert said in str(refused.value.cause)
        await handle.result()
        history = await handle.fetch_history()
    assert not script.calls["intervene"]
    assert not any(event.HasField("workflow_execution_update_accepted_event_attributes") for event in history.events)


async def test_a_dry_run_does_nothing(skipping: WorkflowEnvironment) -> None:
    script = Script(MINERS)
    async with workers(skipping.client, script, 100):
        handle, _ = await begin(skipping)
        receipt = await update(handle, "void", dry_run=True)
        result = await handle.result()
    assert receipt.dry_run and result.outcome == "closed"


async def test_a_miner_that_left_the_registry_is_noted_once_a_signal(skipping: WorkflowEnvironment) -> None:
    script = Script(MINERS)
    async with workers(skipping.client, script, 100):
        handle, init_time = await begin(skipping)
        for _ in range(2):
            await handle.signal("miner_deregistered", MinerDeregistered(hotkey=GONE, at=init_time))
        result = await handle.result()
    assert [call.miner.hotkey for call in script.calls["record_deregistered"]] == [GONE, GONE]
    assert result.verified == len(MINERS)
