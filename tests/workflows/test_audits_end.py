"""What only the real server does with audits: they end with their run."""

from __future__ import annotations

from collections.abc import Generator
from datetime import UTC, datetime, timedelta

import pytest
from temporalio.client import WorkflowFailureError
from temporalio.exceptions import CancelledError

from activities import task_queues
from activities.messages.run import ForecastRunInput
from adapters.temporal_client import connect
from protocol.names import audits_workflow_id
from starter.embedded import NAMESPACE
from tests.workflows.dev_server import dev_server, pod
from tests.workflows.script import Script
from workflows.forecast_run import ForecastRun

pytestmark = pytest.mark.server

LONG_AGO = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=20)
MINERS = [f"{number:064x}" for number in range(1, 4)]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Generator[str]:
    with dev_server(tmp_path_factory.mktemp("temporal")) as address:
        yield address


async def test_a_run_that_closes_ends_its_audits(address: str) -> None:
    client = await connect(address, NAMESPACE)
    script = Script(MINERS, audits={MINERS[0]: [datetime.now(UTC) + timedelta(days=300)]})
    request = ForecastRunInput(init_time=LONG_AGO)
    async with pod(client, script):
        run = await client.execute_workflow(
            ForecastRun.run, request, id=request.workflow_id, task_queue=task_queues.CONTROL
        )
        audits = client.get_workflow_handle(audits_workflow_id(request.workflow_id))
        with pytest.raises(WorkflowFailureError) as ended:
            await audits.result()
    assert run.outcome == "closed"
    assert isinstance(ended.value.cause, CancelledError)
    assert script.calls["take_audits"] and not script.calls["audit_objects"]
