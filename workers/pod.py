"""One worker process: telemetry, a client, a Temporal worker for each queue, the validator's HTTP side."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from temporalio.worker import PollerBehaviorAutoscaling, Worker

from activities import task_queues
from activities.faults import FaultInterceptor
from adapters.telemetry import ActivityLines, telemetry
from adapters.temporal_client import connect, runtime, workflow_runner
from workers.http_side import http_side
from workers.settings import Settings, queues
from workers.wiring import Wiring
from workflows.failures import FAILURE_TYPES
from workflows.forecast_run import ForecastRun
from workflows.miner_forecast import MinerForecast
from workflows.retention import Retention
from workflows.retention_audit import RetentionAudit
from workflows.revision import Revision
from workflows.scoring_pass import ScoringPass
from workflows.trigger import Trigger
from workflows.weights_epoch import WeightsEpoch

WORKFLOWS = (ForecastRun, MinerForecast, ScoringPass, RetentionAudit, Retention, Revision, WeightsEpoch, Trigger)
GRACEFUL_SHUTDOWN = timedelta(seconds=30)
HEARTBEAT_THROTTLE = timedelta(seconds=10)
STICKY_TIMEOUT = timedelta(seconds=3)
CACHED_WORKFLOWS = 2_000

log = logging.getLogger("barograph.pod")


async def run(settings: Settings, stop: asyncio.Event) -> None:
    """Work until `stop` is set; what was begun is finished first or goes on elsewhere."""
    served = queues(settings.worker_mode)
    log_file = settings.log_dir / f"worker-{settings.worker_mode}.log" if settings.log_dir else None
    with telemetry(f"barograph-{settings.worker_mode}", log_file=log_file):
        metrics = runtime(settings.metrics_port, settings.metrics_host)
        client = await connect(settings.temporal_address, settings.temporal_namespace, metrics)
        port = settings.metrics_port
        log.info("mode %s starts on %s; metrics port %s", settings.worker_mode, ", ".join(served), port)
        async with contextlib.AsyncExitStack() as stack:
            wiring = stack.enter_context(contextlib.closing(Wiring(settings, client)))
            for queue in served:
                await stack.enter_async_context(queue_worker(wiring, queue))
            if task_queues.CONTROL in served:
                await stack.enter_async_context(http_side(wiring))
            log.info("ready")
            await stop.wait()
            log.info("draining")


@contextlib.asynccontextmanager
async def queue_worker(wiring: Wiring, queue: str) -> AsyncGenerator[None]:
    """The worker of one queue, with a thread for each slot of blocking work."""
    slots: int = getattr(wiring.settings, f"{queue}_slots")
    control = queue == task_queues.CONTROL
    with ThreadPoolExecutor(slots, thread_name_prefix=queue) as threads:
        worker = Worker(
            wiring.client,
            task_queue=queue,
            workflows=WORKFLOWS if control else (),
            activities=wiring.activities(queue),
            activity_executor=threads,
            workflow_runner=workflow_runner(),
            interceptors=[ActivityLines(), FaultInterceptor()],
            workflow_failure_exception_types=FAILURE_TYPES,
            max_cached_workflows=CACHED_WORKFLOWS if control else 0,
            max_concurrent_workflow_tasks=wiring.settings.control_workflow_slots if control else None,
            max_concurrent_activities=slots,
            workflow_task_poller_behavior=PollerBehaviorAutoscaling(1, 100, 5),
            activity_task_poller_behavior=PollerBehaviorAutoscaling(1, 50, 5),
            max_heartbeat_throttle_interval=HEARTBEAT_THROTTLE,
            default_heartbeat_throttle_interval=HEARTBEAT_THROTTLE,
            sticky_queue_schedule_to_start_timeout=STICKY_TIMEOUT,
            graceful_shutdown_timeout=GRACEFUL_SHUTDOWN,
        )
        async with worker:
            yield
