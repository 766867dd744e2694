"""What an attempt leaves to the next one, in its heartbeat: codes spent and progress made.

Temporal's own attempt number also counts lost workers; codes are counted here, so that our crash
never spends a miner's or a source's budget.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar, copy_context
from dataclasses import dataclass, field
from datetime import timedelta
from threading import Event, Thread
from typing import Any

from temporalio import activity

from weather.faults import Fault, MinerFault, tree

BUDGETS = {"SourceCorrupt": 5, "InternalError": 3}
MINER_ATTEMPTS_PER_ROUND = 3
LONGEST_SILENCE = timedelta(seconds=10)


@dataclass
class _Envelope:
    """What this attempt took over from the last one, and what it adds."""

    info: activity.Info
    spent: dict[str, int] = field(default_factory=dict)
    progress: Any = None


_CURRENT: ContextVar[_Envelope | None] = ContextVar("envelope", default=None)
_BEATING: ContextVar[bool] = ContextVar("beating", default=False)


def begin() -> None:
    """Take over what the last attempt left, for this context and all that are copied from it."""
    _envelope()


def spent_by_miner() -> int:
    """How many attempts so far ended with a fault of the miner."""
    return sum(count for code, count in _envelope().spent.items() if issubclass(tree().get(code, Fault), MinerFault))


def resumed() -> Any:
    """The progress that was reported last, by this attempt or one before, or none."""
    return _envelope().progress


def heartbeat(progress: Any) -> None:
    """Report progress and keep what was spent."""
    _envelope().progress = progress
    _send()


def spend(code: str) -> int:
    """Count one more end with this code; answers the new count."""
    counts = _envelope().spent
    counts[code] = counts.get(code, 0) + 1
    _send()
    return counts[code]


@asynccontextmanager
async def beating() -> AsyncGenerator[None]:
    """Heartbeats beside the work of an async activity."""

    async def beat() -> None:
        while True:
            await asyncio.sleep(_pause())
            _send()

    _send()
    task, outer = asyncio.create_task(beat()), _BEATING.set(True)
    try:
        yield
    finally:
        _BEATING.reset(outer)
        task.cancel()


@contextmanager
def beating_thread() -> Generator[None]:
    """Heartbeats beside the work of a blocking activity; in a thread of an async one that has its own: none."""
    if _BEATING.get():
        yield
        return
    ended = Event()

    def beat() -> None:
        while not ended.wait(_pause()):
            _send()

    _send()
    thread = Thread(target=copy_context().run, args=(beat,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _pause() -> float:
    timeout = activity.info().heartbeat_timeout or LONGEST_SILENCE * 3
    return min(timeout / 3, LONGEST_SILENCE).total_seconds()


def _send() -> None:
    envelope = _envelope()
    activity.heartbeat({"spent": dict(envelope.spent), "progress": envelope.progress})


def _envelope() -> _Envelope:
    info, current = activity.info(), _CURRENT.get()
    if current is None or current.info is not info:
        details = info.heartbeat_details
        left = details[0] if details and isinstance(details[0], dict) else {}
        current = _Envelope(info, dict(left.get("spent", {})), left.get("progress"))
        _CURRENT.set(current)
    return current
