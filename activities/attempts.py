"""What an attempt leaves to the next one, in its heartbeat: codes spent and progress made.

Temporal's own attempt number also counts lost workers; codes are counted here, so that our crash
never spends a miner's or a source's budget.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from temporalio import activity

BUDGETS = {"SourceCorrupt": 5, "InternalError": 3}
MINER_ATTEMPTS_PER_ROUND = 3
LONGEST_SILENCE = timedelta(seconds=10)


def spent(code: str) -> int:
    """How often earlier attempts ended with this code."""
    return int(_envelope().get("spent", {}).get(code, 0))


def spent_in_all() -> int:
    """How many earlier attempts ended with any code."""
    return sum(_envelope().get("spent", {}).values())


def resumed() -> Any:
    """The progress that the last attempt reported, or none."""
    return _envelope().get("progress")


def heartbeat(progress: Any) -> None:
    """Report progress and keep what was spent."""
    activity.heartbeat({"spent": _envelope().get("spent", {}), "progress": progress})


def spend(code: str) -> int:
    """Count one more end with this code; answers the new count."""
    counts = {**_envelope().get("spent", {}), code: spent(code) + 1}
    activity.heartbeat({"spent": counts, "progress": resumed()})
    return counts[code]


@asynccontextmanager
async def beating() -> AsyncGenerator[None]:
    """Heartbeats beside the work of an async activity."""
    timeout = activity.info().heartbeat_timeout or LONGEST_SILENCE * 3

    async def beat() -> None:
        while True:
            heartbeat(resumed())
            await asyncio.sleep(min(timeout / 3, LONGEST_SILENCE).total_seconds())

    task = asyncio.create_task(beat())
    try:
        yield
    finally:
        task.cancel()


def _envelope() -> dict[str, Any]:
    details = activity.info().heartbeat_details
    return details[0] if details and isinstance(details[0], dict) else {}
