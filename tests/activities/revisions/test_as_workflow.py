"""The workflow over the real activities: messages, queues and heartbeats fit together."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from datetime import timedelta

from temporalio.worker import Worker

from activities import task_queues
from activities.faults import FaultInterceptor
from activities.messages.revisions import RevisionInput
from activities.scorer import FieldScorer
from activities.signatures import methods
from adapters.chunk_decoder import ChunkDecoder
from adapters.temporal_client import workflow_runner
from tests.activities.revisions.revised_run import LATER, LEAD, Revised
from tests.activities.validator.world import T0
from tests.fixed_clock import FixedClock
from tests.workflows.conftest import skipping_server
from workflows.revision import Revision

QUEUES = (task_queues.CONTROL, task_queues.ACQUIRE, task_queues.SCORE)


async def test_a_revision_is_started_by_its_valid_time_alone(revised: Revised) -> None:
    store, catalog = revised.validator.store, revised.validator.catalog
    await revised.truth(LEAD)
    request = RevisionInput(valid_time=T0 + timedelta(hours=LEAD))
    async with AsyncExitStack() as stack:
        client = (await stack.enter_async_context(await skipping_server())).client
        decoder = stack.enter_context(ChunkDecoder(store))
        activities = methods(revised.records, revised.sources, FieldScorer(store, catalog, decoder, FixedClock(LATER)))
        for queue in QUEUES:
            worker = Worker(
                client,
                task_queue=queue,
                workflows=[Revision],
                activities=activities,
                activity_executor=stack.enter_context(ThreadPoolExecutor(2)),
                workflow_runner=workflow_runner(),
                interceptors=[FaultInterceptor()],
            )
            await stack.enter_async_context(worker)
        result = await client.execute_workflow(
            "Revision", {"valid_time": request.valid_time.isoformat()}, id=request.workflow_id, task_queue=QUEUES[0]
        )
    (lead,) = result["leads"]
    assert (lead["run_id"], lead["rescored"], lead["confirmed"]) == (revised.opened.run.run_id, 4, 8)
    assert sum(fact.truth_version == "era5" for fact in revised.facts()) == 4
    assert revised.row(LEAD).report_digest == lead["report"]
