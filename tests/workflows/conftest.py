"""One time-skipping server a test process; one set of queues a test."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from activities import task_queues
from activities.faults import FaultInterceptor
from activities.signatures import methods
from adapters.temporal_client import workflow_runner
from tests.workflows.fake_audits import FakeAudits
from tests.workflows.fake_revisions import FakeRevisions
from tests.workflows.fake_scores import FakeScores
from tests.workflows.fake_weights import FakeOutbox, FakeWeights
from tests.workflows.fakes import FakeArchive, FakeChildren, FakeMiners, FakeOperator, FakeRuns, Script
from workflows.forecast_run import ForecastRun
from workflows.miner_forecast import MinerForecast
from workflows.retention_audit import RetentionAudit
from workflows.revision import Revision
from workflows.scoring_pass import ScoringPass
from workflows.trigger import Trigger
from workflows.weights_epoch import WeightsEpoch

QUEUES = (
    task_queues.CONTROL,
    task_queues.ACQUIRE,
    task_queues.MINERS,
    task_queues.DOWNLOADS,
    task_queues.SCORE,
    task_queues.PUBLISH,
)
WORKFLOWS = (ForecastRun, MinerForecast, ScoringPass, RetentionAudit, Revision, WeightsEpoch, Trigger)
KEYWORDS = ("Run", "Miner", "Stage", "Pass", "Campaign", "Cause", "Spec", "TruthVersion")


def binary(name: str) -> str:
    """The path of a packaged Temporal binary."""
    found = shutil.which(name, path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    assert found, f"{name} is not installed"
    return found


async def add_search_attributes(client: Client) -> None:
    """Without them a test hangs."""
    attributes = {f"Barograph{name}": IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD for name in KEYWORDS}
    attributes["BarographInit"] = IndexedValueType.INDEXED_VALUE_TYPE_DATETIME
    await client.operator_service.add_search_attributes(
        AddSearchAttributesRequest(namespace="default", search_attributes=attributes)
    )


async def skipping_server() -> WorkflowEnvironment:
    """A time-skipping server with our search attributes."""
    environment = await WorkflowEnvironment.start_time_skipping(
        test_server_existing_path=binary("temporal-test-server"), data_converter=pydantic_data_converter
    )
    await add_search_attributes(environment.client)
    return environment


@pytest.fixture
async def skipping() -> AsyncIterator[WorkflowEnvironment]:
    async with await skipping_server() as environment:
        yield environment


@pytest.fixture(params=[100, 0], ids=["cached", "replayed-each-task"])
def cache(request: pytest.FixtureRequest) -> int:
    """Every workflow test runs again without a cache, which replays at each task."""
    return request.param


@asynccontextmanager
async def workers(client: Client, script: Script, cache: int) -> AsyncGenerator[None]:
    """A worker for each queue, all with the same fakes."""
    miners, scores = FakeMiners(script, client), FakeScores(script)
    runs, children, archive = FakeRuns(script), FakeChildren(script, client), FakeArchive(script)
    others = (FakeAudits(script), FakeOperator(script), FakeOutbox(script), FakeWeights(script), FakeRevisions(script))
    activities = methods(runs, children, miners, archive, scores, *others)
    async with AsyncExitStack() as stack:
        for queue in QUEUES:
            control = queue == task_queues.CONTROL
            worker = Worker(
                client,
                task_queue=queue,
                workflows=WORKFLOWS if control else (),
                activities=activities,
                workflow_runner=workflow_runner(),
                interceptors=[FaultInterceptor()],
                max_cached_workflows=cache,
                workflow_failure_exception_types=[Exception],
            )
            await stack.enter_async_context(worker)
        yield
