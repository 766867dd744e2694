"""Days of removal on a real ledger and a real store, with skipped time."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from temporalio.client import WorkflowFailureError
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from activities import task_queues
from activities.faults import FaultInterceptor
from activities.messages.retention import RetentionInput, RetentionResult
from activities.retention import LedgerRetention
from adapters.ledger.engine import Ledger, upgrade
from adapters.object_store import ObjectStore
from adapters.temporal_client import workflow_runner
from workflows.failures import FAILURE_TYPES
from workflows.retention import PAGES, Retention


class Validator:
    """A ledger without runs, and a store."""

    def __init__(self, folder: Path, env: WorkflowEnvironment, page: int) -> None:
        upgrade(f"sqlite:///{folder}/ledger.db")
        self.root, self.env, self.page = folder / "objects", env, page
        self.store, self.ledger = ObjectStore(self.root), Ledger(f"sqlite:///{folder}/ledger.db")

    async def put(self, data: bytes, days_ago: float) -> None:
        digest = self.store.put(data)
        at = (await self.env.get_current_time()).timestamp() - days_ago * 86_400
        os.utime(self.root / "bytes" / digest[:2] / digest, (at, at))

    async def request(self, *, dry_run: bool = False) -> RetentionInput:
        return RetentionInput(day=(await self.env.get_current_time()).date(), dry_run=dry_run)

    async def day(self, *, dry_run: bool = False) -> RetentionResult:
        """The removal of the day that it is."""
        request, client, queue = await self.request(dry_run=dry_run), self.env.client, task_queues.CONTROL
        return await client.execute_workflow(Retention.run, request, id=request.workflow_id, task_queue=queue)

    @asynccontextmanager
    async def at_work(self, cache: int = 100) -> AsyncGenerator[None]:
        retention = LedgerRetention(self.ledger, self.store, self.page)
        with ThreadPoolExecutor(2) as threads, self.ledger:
            async with Worker(
                self.env.client,
                task_queue=task_queues.CONTROL,
                workflows=[Retention],
                activities=[retention.mark_unreferenced, retention.delete_objects],
                activity_executor=threads,
                workflow_runner=workflow_runner(),
                interceptors=[FaultInterceptor()],
                max_cached_workflows=cache,
                workflow_failure_exception_types=FAILURE_TYPES,
            ):
                yield


async def test_what_nothing_needs_is_removed_a_week_after_it_was_marked(
    skipping: WorkflowEnvironment, cache: int, tmp_path: Path
) -> None:
    validator = Validator(tmp_path, skipping, page=2)
    async with validator.at_work(cache):
        for number in range(3):
            await validator.put(b"old" * number, 60)
        await validator.put(b"new", 0)
        assert await validator.day() == RetentionResult(removed=0, kept=4, marked=3, size_bytes=0)
        await skipping.sleep(timedelta(days=7, hours=1))
        told = await validator.day(dry_run=True)
        assert told == RetentionResult(removed=3, kept=1, marked=0, size_bytes=9) == await validator.day(dry_run=True)
        assert len(validator.store.listed("", 9)) == 4
        assert await validator.day() == told
    assert [one.size_bytes for one in validator.store.listed("", 9)] == [3]


async def test_a_large_store_is_gone_through_in_executions_of_two_hundred_pages(
    skipping: WorkflowEnvironment, tmp_path: Path
) -> None:
    validator = Validator(tmp_path, skipping, page=1)
    async with validator.at_work():
        for number in range(PAGES + 1):
            await validator.put(b"%d" % number, 60)
        assert (await validator.day()).marked == PAGES + 1
        handle = skipping.client.get_workflow_handle((await validator.request()).workflow_id)
        history = await handle.fetch_history()
    started = history.events[0].workflow_execution_started_event_attributes
    assert started.continued_execution_run_id and len(history.events) < 30


@pytest.mark.parametrize("day", ["2026-11-23", "2026-11-22/dry-run"])
async def test_a_removal_under_another_id_fails_at_once(
    skipping: WorkflowEnvironment, tmp_path: Path, day: str
) -> None:
    validator = Validator(tmp_path, skipping, page=1)
    request = RetentionInput(day=datetime(2026, 11, 22).date())
    async with validator.at_work():
        with pytest.raises(WorkflowFailureError) as refused:
            await skipping.client.execute_workflow(
                Retention.run, request, id=f"retention/{day}", task_queue=task_queues.CONTROL
            )
    assert "expected retention/2026-11-22" in str(refused.value.cause)
