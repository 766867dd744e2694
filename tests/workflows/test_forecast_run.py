"""The run as a whole, on a server that skips time."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from temporalio.client import WorkflowFailureError, WorkflowHandle
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.testing import WorkflowEnvironment

from activities import task_queues
from activities.messages.run import CampaignRef, ForecastRunInput, ForecastRunResult
from tests.workflows.conftest import workers
from tests.workflows.fakes import Script, fault
from weather.faults import (
    ActivityTimeout,
    BadAnswer,
    EgressDown,
    MinerUnreachable,
    OutOfMemory,
    SourceGone,
    TransferFailed,
    TruthNotYetAvailable,
)
from workflows.forecast_run import ForecastRun

MINERS = ["1" * 64, "2" * 64, "3" * 64]
GONE = MINERS[1]


def next_cycle(now: datetime) -> datetime:
    """A cycle whose commit window is still to come, whatever the time of day."""
    later = now + timedelta(hours=6)
    return later.replace(hour=later.hour - later.hour % 6, minute=0, second=0, microsecond=0)


async def start(environment: WorkflowEnvironment, request: ForecastRunInput) -> WorkflowHandle:
    return await environment.client.start_workflow(
        ForecastRun.run,
        request,
        id=request.workflow_id,
        task_queue=task_queues.CONTROL,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY,
    )


async def play(environment: WorkflowEnvironment, script: Script, cache: int) -> ForecastRunResult:
    request = ForecastRunInput(init_time=next_cycle(await environment.get_current_time()))
    async with workers(environment.client, script, cache):
        return await (await start(environment, request)).result()


async def test_era5_comes_five_days_later_and_the_run_closes_in_skipped_time(
    skipping: WorkflowEnvironment, cache: int
) -> None:
    script = Script(MINERS, pushes={MINERS[0]})
    began = await skipping.get_current_time()
    result = await play(skipping, script, cache)
    assert result.outcome == "closed"
    assert (result.verified, result.faults) == (3, 0)
    assert await skipping.get_current_time() - began >= timedelta(hours=48 + 126) - timedelta(hours=6)
    scored = [(call.pass_name, len(call.miners)) for call in script.calls["score_miners"]]
    assert sorted(scored) == [("day1_qc", 1), ("day1_qc", 2), *[("era5_final", 1), ("era5_final", 2)] * 2] or sorted(
        scored
    ) == sorted([("day1_qc", 2), ("day1_qc", 1)] + [("era5_final", 2), ("era5_final", 1)] * 2)


async def test_truth_that_is_late_is_waited_for_and_costs_no_history(skipping: WorkflowEnvironment, cache: int) -> None:
    late = TruthNotYetAvailable("not yet", retry_after=timedelta(hours=6))
    script = Script(MINERS, faults={("ensure_truth", "era5_final/24"): [late] * 20})
    result = await play(skipping, script, cache)
    assert result.outcome == "closed"
    assert [f.fault for f in script.calls["finish_pass"]] == [None] * 3


async def test_a_miner_that_never_answers_is_at_fault_alone(skipping: WorkflowEnvironment, cache: int) -> None:
    refused = [MinerUnreachable("connection refused")] * 1000
    script = Script(MINERS, faults={("request_forecast", GONE): refused})
    result = await play(skipping, script, cache)
    assert (result.verified, result.faults) == (2, 1)
    settled = {call.hotkey: fault(call.fault) for call in script.calls["settle_miner"]}
    assert settled == {MINERS[0]: None, GONE: "MinerUnreachable", MINERS[2]: None}


async def test_a_miner_that_is_down_and_then_up_is_scored(skipping: WorkflowEnvironment, cache: int) -> None:
    script = Script(MINERS, faults={("request_forecast", GONE): [MinerUnreachable("refused")] * 4})
    result = await play(skipping, script, cache)
    assert (result.verified, result.faults) == (3, 0)
    assert script.keys("request_forecast").count(GONE) == 5


async def test_a_commitment_that_was_only_pushed_counts_although_every_call_failed(
    skipping: WorkflowEnvironment, cache: int
) -> None:
    script = Script(MINERS, faults={("request_forecast", GONE): [BadAnswer("unsigned")] * 1000})
    script.record(GONE)
    result = await play(skipping, script, cache)
    assert (result.verified, result.faults) == (3, 0)


async def test_a_late_commitment_is_a_refusal_of_policy(skipping: WorkflowEnvironment, cache: int) -> None:
    script = Script(MINERS, late={GONE})
    await play(skipping, script, cache)
    settled = {call.hotkey: fault(call.fault) for call in script.calls["settle_miner"]}
    assert settled[GONE] == "CommitmentLate"


async def test_two_starts_at_once_are_one_run(skipping: WorkflowEnvironment, cache: int) -> None:
    script = Script(MINERS)
    request = ForecastRunInput(init_time=next_cycle(await skipping.get_current_time()))
    async with workers(skipping.client, script, cache):
        first, second = await asyncio.gather(start(skipping, request), start(skipping, request))
        assert first.result_run_id == second.result_run_id
        await first.result()
    assert len(script.calls["open_run"]) == 1


async def test_an_empty_roster_is_void(skipping: WorkflowEnvironment, cache: int) -> None:
    result = await play(skipping, Script([]), cache)
    assert (result.outcome, result.outcome_reason) == ("void", "empty_roster")


async def test_inputs_that_will_never_come_void_the_run_and_ask_nobody(
    skipping: WorkflowEnvironment, cache: int
) -> None:
    script = Script(MINERS, faults={("fetch_inputs", ""): [SourceGone("the cycle is gone")]})
    result = await play(skipping, script, cache)
    assert result.outcome == "void"
    assert fault(script.calls["close_run"][0].fault) == "SourceGone"
    assert not script.calls["request_forecast"]


async def test_truth_that_never_comes_voids_its_lead_and_no_other(skipping: WorkflowEnvironment, cache: int) -> None:
    never = [TruthNotYetAvailable("not yet", retry_after=timedelta(hours=6))] * 1000
    script = Script(MINERS, faults={("ensure_truth", "era5_final/48"): never})
    await play(skipping, script, cache)
    finished = {(f.pass_name, f.lead_hours): fault(f.fault) for f in script.calls["finish_pass"]}
    assert finished == {("day1_qc", 0): None, ("era5_final", 24): None, ("era5_final", 48): "TruthNotYetAvailable"}


async def test_a_chunk_without_memory_is_scored_in_halves(skipping: WorkflowEnvironment, cache: int) -> None:
    script = Script(MINERS[:2], leads=(24,), faults={("score_miners", "2"): [OutOfMemory("chunk"), OutOfMemory("c")]})
    result = await play(skipping, script, cache)
    assert result.outcome == "closed"
    assert [len(call.miners) for call in script.calls["score_miners"]].count(1) == 4


async def test_transfer_trouble_of_one_miner_is_retried_inside_its_round(
    skipping: WorkflowEnvironment, cache: int
) -> None:
    script = Script(MINERS, leads=(24,), faults={("fetch_lead", f"{GONE}/24"): [TransferFailed("reset")] * 2})
    result = await play(skipping, script, cache)
    assert result.outcome == "closed"
    assert not any(f.fault for f in script.calls["finish_pass"])


async def test_a_run_without_day1_leads_skips_that_pass(skipping: WorkflowEnvironment, cache: int) -> None:
    script = Script(MINERS, day1_leads=(), leads=(24,))
    result = await play(skipping, script, cache)
    assert result.outcome == "closed"
    assert [call.to for call in script.calls["advance_run"]] == [
        "initial_scoring_skipped",
        "final_scoring_triggered",
    ]


async def test_an_id_that_is_not_the_business_key_fails_at_once_with_both_ids(skipping: WorkflowEnvironment) -> None:
    request = ForecastRunInput(init_time=datetime(2026, 11, 22, 18, tzinfo=UTC))
    async with workers(skipping.client, Script(MINERS), 100):
        handle = await skipping.client.start_workflow(
            ForecastRun.run, request, id="my-run", task_queue=task_queues.CONTROL
        )
        with pytest.raises(WorkflowFailureError) as failed:
            await handle.result()
    assert failed.value.cause.type == "ConfigurationInvalid"  # ty: ignore[missing-attribute] -- ApplicationError
    assert "my-run" in str(failed.value.cause)


async def test_a_malformed_input_fails_at_once_with_the_field_named(skipping: WorkflowEnvironment) -> None:
    async with workers(skipping.client, Script(MINERS), 100):
        handle = await skipping.client.start_workflow(
            "ForecastRun", {"init_time": "2026-11-22T17:00:00Z"}, id="forecast/x", task_queue=task_queues.CONTROL
        )
        with pytest.raises(WorkflowFailureError) as failed:
            await handle.result()
    assert "init_time" in str(failed.value.cause)


async def test_children_that_are_already_there_are_adopted(skipping: WorkflowEnvironment, cache: int) -> None:
    """A run that was terminated and started again finds its children completed, asks nobody again, and closes."""
    script = Script(MINERS, leads=(24,), faults={("close_run", ""): [SourceGone("stop here")]})
    campaign = CampaignRef(name="again")
    request = ForecastRunInput(init_time=datetime(2026, 10, 1, tzinfo=UTC), campaign=campaign)
    async with workers(skipping.client, script, cache):
        with pytest.raises(WorkflowFailureError):
            await (await start(skipping, request)).result()
        result = await (await start(skipping, request)).result()
    assert result.outcome == "closed"
    assert len(script.calls["adopt_child"]) == len(MINERS) + 2
    assert len(script.calls["request_forecast"]) == len(MINERS)


async def test_the_queries_say_what_the_run_waits_for(skipping: WorkflowEnvironment) -> None:
    script = Script(MINERS)
    request = ForecastRunInput(init_time=next_cycle(await skipping.get_current_time()))
    async with workers(skipping.client, script, 100):
        handle = await start(skipping, request)
        await handle.result()
        why, status = await handle.query(ForecastRun.why), await handle.query(ForecastRun.status)
    assert why.waiting_for.startswith("nothing: closed")
    assert status.progress.verified == 3
    assert status.progress.passes_done == status.progress.passes_total == 2


async def test_a_late_commitment_is_in_time_once_a_fault_of_ours_moved_the_deadline(
    skipping: WorkflowEnvironment, cache: int
) -> None:
    script = Script(MINERS, late={GONE}, moves=1)
    result = await play(skipping, script, cache)
    assert (result.verified, result.faults) == (3, 0)


async def test_a_deadline_that_moves_gives_everybody_another_round(skipping: WorkflowEnvironment, cache: int) -> None:
    """Our outage over the last poll: after the second move the miner is reached, and nobody is at fault."""
    down = [EgressDown("no route")] * 8
    script = Script(MINERS, moves=2, faults={("request_forecast", GONE): down})
    result = await play(skipping, script, cache)
    assert (result.verified, result.faults) == (3, 0)
    assert len(script.calls["settle_absence"]) == 3
    words = {word.fault.code for word in script.calls["record_last_word"] if word.hotkey == GONE}
    assert words <= {"EgressDown"}


async def test_a_deadline_that_can_move_no_more_voids_the_run(skipping: WorkflowEnvironment, cache: int) -> None:
    script = Script(MINERS, moves=-1)
    result = await play(skipping, script, cache)
    assert (result.outcome, result.outcome_reason) == ("void", "ingress")
    assert fault(script.calls["close_run"][0].fault) == "IngressDown"


async def test_the_last_word_of_an_absent_miner_is_kept(skipping: WorkflowEnvironment, cache: int) -> None:
    script = Script(MINERS, faults={("request_forecast", GONE): [MinerUnreachable("refused")] * 1000})
    await play(skipping, script, cache)
    words = [(word.hotkey, word.fault.code) for word in script.calls["record_last_word"]]
    assert words == [(GONE, "MinerUnreachable")]


async def test_a_call_that_our_own_queue_held_back_proves_nobody_absent(
    skipping: WorkflowEnvironment, cache: int
) -> None:
    held_back = [ActivityTimeout("never started")] * 1000
    script = Script(MINERS, faults={("request_forecast", GONE): held_back})
    await play(skipping, script, cache)
    words = [(word.hotkey, word.fault.cause) for word in script.calls["record_last_word"]]
    assert words == [(GONE, "platform")]
