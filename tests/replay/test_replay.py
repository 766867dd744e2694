"""Open runs outlive a deployment: every history that was ever checked in must replay on today's code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from temporalio import workflow
from temporalio.client import WorkflowHistory
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Replayer
from temporalio.workflow import NondeterminismError

from activities import signatures
from activities.messages.miner import MinerForecastInput, MinerForecastResult, SettleMiner
from activities.messages.run import AdvanceRun, TriggerInput, TriggerResult
from adapters.temporal_client import workflow_runner
from workers.pod import WORKFLOWS
from workflows.failures import FAILURE_TYPES
from workflows.miner_job import MinerJob
from workflows.steps import perform

HISTORIES = sorted((Path(__file__).parent / "histories").glob("*/*.json"))
LARGEST_PAYLOAD_BYTES = 64 * 1024


def replayer(*types: type) -> Replayer:
    return Replayer(
        workflows=types or (*WORKFLOWS, MinerJob),
        data_converter=pydantic_data_converter,
        workflow_runner=workflow_runner(),
        workflow_failure_exception_types=FAILURE_TYPES,
    )


def history(path: Path) -> WorkflowHistory:
    document = json.loads(path.read_text())
    return WorkflowHistory.from_json(document.pop("workflow_id"), document)


def test_each_type_has_at_least_three_histories() -> None:
    kinds = [path.parent.name for path in HISTORIES]
    enough = "forecast_run miner_forecast scoring_pass retention_audit retention revision weights_epoch miner_job"
    assert {kind: kinds.count(kind) >= 3 for kind in enough.split()} == dict.fromkeys(enough.split(), True)
    assert kinds.count("trigger") == 3


@pytest.mark.parametrize("path", HISTORIES, ids=lambda path: f"{path.parent.name}/{path.stem}")
async def test_history_replays(path: Path) -> None:
    """AT-X9."""
    await replayer().replay_workflow(history(path))


@pytest.mark.parametrize("path", HISTORIES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_no_payload_of_a_history_is_large(path: Path) -> None:
    events = json.loads(path.read_text())["events"]
    assert max(len(json.dumps(event)) for event in events) <= LARGEST_PAYLOAD_BYTES


@workflow.defn(name="MinerForecast", sandboxed=False)
class OneMoreActivity:
    @workflow.run
    async def run(self, request: MinerForecastInput) -> MinerForecastResult:
        settle = SettleMiner(run_id=request.run.run_id, hotkey=request.hotkey, at=workflow.now())
        await perform(signatures.SETTLE_MINER, settle, "")
        return MinerForecastResult(hotkey=request.hotkey, outcome="fault")


@workflow.defn(name="Trigger", sandboxed=False)
class AnotherOrder:
    @workflow.run
    async def run(self, request: TriggerInput) -> TriggerResult:
        advance = AdvanceRun(run_id="x", to="pending", reason="", at=workflow.now())
        await perform(signatures.ADVANCE_RUN, advance, "")
        return TriggerResult(workflow_id="x", joined=False)


async def test_an_added_activity_fails_the_replay() -> None:
    path = next(path for path in HISTORIES if path.parent.name == "miner_forecast")
    with pytest.raises(NondeterminismError):
        await replayer(OneMoreActivity).replay_workflow(history(path))


async def test_a_changed_order_fails_the_replay() -> None:
    path = next(path for path in HISTORIES if path.parent.name == "trigger")
    with pytest.raises(NondeterminismError):
        await replayer(AnotherOrder).replay_workflow(history(path))
