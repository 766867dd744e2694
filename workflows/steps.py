"""Small steps that several workflows take."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TypeVar

from temporalio import workflow

T = TypeVar("T")


def batches(items: Sequence[T], size: int) -> list[tuple[T, ...]]:
    """The items in order, `size` at a time."""
    return [tuple(items[start : start + size]) for start in range(0, len(items), size)]


async def sleep_until(at: datetime, summary: str, unless: Callable[[], bool] = lambda: False) -> None:
    """A durable timer; none if the instant is past, and it ends early once `unless` holds."""
    if at > workflow.now():
        with contextlib.suppress(asyncio.TimeoutError):
            await workflow.wait_condition(unless, timeout=at - workflow.now(), timeout_summary=summary)
