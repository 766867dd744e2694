"""What an attempt leaves to the next one, on the real server with the throttle of real pods."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from temporalio.worker import Worker

from activities.faults import FaultInterceptor
from adapters.temporal_client import connect, workflow_runner
from starter.embedded import NAMESPACE
from tests.activities.validator.spending import Spending, asks_a_miner, stumbles, works_on
from workers.pod import HEARTBEAT_THROTTLE


@pytest.mark.server
async def test_codes_and_progress_go_from_attempt_to_attempt(temporal_address: str) -> None:
    client = await connect(temporal_address, NAMESPACE)
    with ThreadPoolExecutor(2) as threads:
        worker = Worker(
            client,
            task_queue="spending",
            workflows=[Spending],
            activities=[stumbles, works_on, asks_a_miner],
            activity_executor=threads,
            interceptors=[FaultInterceptor()],
            workflow_runner=workflow_runner(),
            max_heartbeat_throttle_interval=HEARTBEAT_THROTTLE,
            default_heartbeat_throttle_interval=HEARTBEAT_THROTTLE,
        )
        async with worker:
            ended = await client.execute_workflow(Spending.run, id="spending", task_queue="spending")
    assert ended == ["InternalError: KeyError: 'attempt 3'", "[1, 2, 3]", "told at attempt 3"]
