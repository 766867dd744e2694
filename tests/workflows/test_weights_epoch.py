"""An epoch on a server that skips time: each sink on its own, until the epoch is over."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from temporalio.client import WorkflowFailureError, WorkflowHandle
from temporalio.exceptions import ActivityError, ApplicationError
from temporalio.testing import WorkflowEnvironment

from activities import task_queues
from activities.messages.run import TriggerInput, TriggerResult
from activities.messages.weights import Publication, WeightsEpochInput, WeightsEpochResult
from tests.workflows.conftest import workers
from tests.workflows.fake_weights import BUFFER, GENESIS, TEMPO
from tests.workflows.script import DIGEST, Script
from weather.faults import (
    LedgerConflict,
    LedgerUnavailable,
    NothingToPublish,
    SinkUnavailable,
    StoreUnavailable,
    WeightsNotPublished,
)
from workflows.trigger import Trigger
from workflows.weights_epoch import WeightsEpoch

MOST_EVENTS = 90
DOWN = [SinkUnavailable("down", retry_after=timedelta(minutes=5))] * 1_000
STEPS = "open_epoch settle_overdue compare_registry freeze_epoch_inputs compute_vector publish_weights confirm_weights"


async def next_number(environment: WorkflowEnvironment) -> int:
    """An epoch that has at least its whole length left."""
    return (await environment.get_current_time() - GENESIS) // TEMPO + 1


async def start(environment: WorkflowEnvironment, number: int, network: str = "test") -> WorkflowHandle[Any, Any]:
    request, name = WeightsEpochInput(epoch=number), f"weights/{network}/{number}"
    return await environment.client.start_workflow(WeightsEpoch.run, request, id=name, task_queue=task_queues.CONTROL)


async def failed(environment: WorkflowEnvironment, script: Script, cache: int, number: int) -> str | None:
    """The code with which an epoch fails."""
    async with workers(environment.client, script, cache):
        handle = await start(environment, number)
        with pytest.raises(WorkflowFailureError) as failure:
            await handle.result()
    cause = failure.value.cause
    cause = cause.cause if isinstance(cause, ActivityError) else cause
    assert isinstance(cause, ApplicationError)
    return cause.type


def missed(script: Script) -> list[tuple[str, datetime]]:
    return [(request.fault.code, request.at) for request in script.calls["record_missed"]]


async def test_an_epoch_computes_once_and_confirms_each_sink(skipping: WorkflowEnvironment, cache: int) -> None:
    script, number = Script([]), await next_number(skipping)
    async with workers(skipping.client, script, cache):
        handle = await start(skipping, number)
        result = await handle.result()
        status, why = await handle.query(WeightsEpoch.status), await handle.query(WeightsEpoch.why)
        events = [event async for event in handle.fetch_history_events()]
    confirmed = tuple(Publication(sink=sink, state="confirmed", reference="r") for sink in ("file", "http"))
    assert result == WeightsEpochResult(epoch=number, head=1_303, input_digest=DIGEST, publications=confirmed)
    assert (status.publications, status.head, why.stage) == (confirmed, 1_303, "published")
    assert {name: len(calls) for name, calls in script.calls.items()} == dict.fromkeys(STEPS.split(), 1) | {
        "publish_weights": 2,
        "confirm_weights": 2,
    }
    assert len(events) <= MOST_EVENTS


async def test_a_sink_that_refuses_fails_the_epoch_and_no_other_sink(skipping: WorkflowEnvironment, cache: int) -> None:
    script = Script([], faults={("publish_weights", "file"): [WeightsNotPublished("parked")]})
    assert await failed(skipping, script, cache, await next_number(skipping)) == "WeightsNotPublished"
    assert [code for code, _ in missed(script)] == ["WeightsNotPublished"]
    assert [request.sink for request in script.calls["confirm_weights"]] == ["http"]


@pytest.mark.parametrize(("step", "limit"), [("publish_weights", TEMPO - BUFFER), ("confirm_weights", TEMPO)])
async def test_a_sink_that_is_down_is_asked_until_the_epoch_is_over(
    skipping: WorkflowEnvironment, cache: int, step: str, limit: Any
) -> None:
    script, number = Script([], sinks=("http",), faults={(step, "http"): list(DOWN)}), await next_number(skipping)
    assert await failed(skipping, script, cache, number) == "WeightsNotPublished"
    ((code, at),) = missed(script)
    assert code == "WeightsNotPublished"
    assert GENESIS + number * TEMPO < at < GENESIS + number * TEMPO + limit
    assert len(script.calls[step]) > 5


async def test_a_sink_that_comes_back_is_published_to(skipping: WorkflowEnvironment, cache: int) -> None:
    script, number = Script([], faults={("publish_weights", "http"): DOWN[:4]}), await next_number(skipping)
    async with workers(skipping.client, script, cache):
        result = await (await start(skipping, number)).result()
    assert {each.state for each in result.publications} == {"confirmed"}
    assert missed(script) == []


async def test_an_epoch_goes_on_by_itself_when_ledger_and_store_are_back(
    skipping: WorkflowEnvironment, cache: int
) -> None:
    """AT-P7: weights resume unaided."""
    steps = ("settle_overdue", "compare_registry", "freeze_epoch_inputs", "compute_vector", "publish_weights")
    faults = {(step, "file" if step == "publish_weights" else ""): [LedgerUnavailable("x")] * 4 for step in steps}
    faults["freeze_epoch_inputs", ""] += [StoreUnavailable("x")] * 4
    script, number = Script([], faults=faults), await next_number(skipping)
    async with workers(skipping.client, script, cache):
        result = await (await start(skipping, number)).result()
    assert {each.state for each in result.publications} == {"confirmed"}
    assert missed(script) == []


@pytest.mark.parametrize(
    ("step", "error"), [("freeze_epoch_inputs", NothingToPublish("none")), ("compute_vector", LedgerConflict("other"))]
)
async def test_without_a_vector_the_epoch_is_missed_with_its_code(
    skipping: WorkflowEnvironment, cache: int, step: str, error: Exception
) -> None:
    script = Script([], faults={(step, ""): [error]})
    code = type(error).__name__
    assert await failed(skipping, script, cache, await next_number(skipping)) == code
    assert [told for told, _ in missed(script)] == [code]
    assert script.calls["publish_weights"] == []


async def test_a_past_epoch_is_missed_and_nothing_is_sent(skipping: WorkflowEnvironment, cache: int) -> None:
    script = Script([])
    assert await failed(skipping, script, cache, await next_number(skipping) - 2) == "WeightsNotPublished"
    assert set(script.calls) == {"open_epoch", "record_missed"}


async def test_an_epoch_that_has_not_begun_waits_for_its_start(skipping: WorkflowEnvironment, cache: int) -> None:
    script, number = Script([]), await next_number(skipping) + 5
    async with workers(skipping.client, script, cache):
        await (await start(skipping, number)).result()
    (settled,) = script.calls["settle_overdue"]
    assert GENESIS + number * TEMPO <= settled.at < GENESIS + (number + 1) * TEMPO


async def test_an_epoch_has_one_id(skipping: WorkflowEnvironment, cache: int) -> None:
    script, number = Script([]), await next_number(skipping)
    async with workers(skipping.client, script, cache):
        handle = await start(skipping, number, network="other")
        with pytest.raises(WorkflowFailureError) as failure:
            await handle.result()
    assert getattr(failure.value.cause, "type", None) == "ConfigurationInvalid"
    assert set(script.calls) == {"open_epoch"}


async def test_a_trigger_starts_the_epoch_of_its_instant_or_joins_it(skipping: WorkflowEnvironment, cache: int) -> None:
    script, number = Script([]), await next_number(skipping)
    at = GENESIS + number * TEMPO
    request = TriggerInput(kind="weights", at=at)
    await skipping.sleep(at - await skipping.get_current_time())
    async with workers(skipping.client, script, cache):
        results = [
            await skipping.client.execute_workflow(
                Trigger.run, request, id=f"trigger/weights-{one}", task_queue=task_queues.CONTROL
            )
            for one in ("a", "b")
        ]
        await skipping.client.get_workflow_handle(f"weights/test/{number}").result()
    assert results == [TriggerResult(workflow_id=f"weights/test/{number}", joined=joined) for joined in (False, True)]
    assert len(script.calls["compute_vector"]) == 1
