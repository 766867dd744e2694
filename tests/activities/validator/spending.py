"""Activities that fail in different ways, and a workflow that tells how each ended."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from temporalio import activity, workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError

with workflow.unsafe.imports_passed_through():
    from activities import attempts
    from weather.faults import ObjectAbsent

AT_ONCE = RetryPolicy(initial_interval=timedelta(milliseconds=10), backoff_coefficient=1.0)


@activity.defn
def stumbles() -> str:
    raise KeyError(f"attempt {activity.info().attempt}")


@activity.defn
def works_on() -> str:
    done = [*(attempts.resumed() or []), activity.info().attempt]
    attempts.heartbeat(done)
    if len(done) < 3:
        raise ValueError("not yet done")
    return f"{done}"


@activity.defn
async def asks_a_miner() -> str:
    async with attempts.beating():
        await asyncio.sleep(0)
    if attempts.spent_by_miner() < 2:
        attempts.spend("ObjectAbsent")
        raise ObjectAbsent("404")
    return f"told at attempt {activity.info().attempt}"


@workflow.defn
class Spending:
    @workflow.run
    async def run(self) -> list[str]:
        return list(await asyncio.gather(*map(self._ended, ("stumbles", "works_on", "asks_a_miner"))))

    async def _ended(self, name: str) -> str:
        try:
            return await workflow.execute_activity(
                name, start_to_close_timeout=timedelta(seconds=20), retry_policy=AT_ONCE, result_type=str
            )
        except ActivityError as error:
            assert isinstance(error.cause, ApplicationError)
            return f"{error.cause.type}: {error.cause.message}"
