"""Small steps that several workflows take."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeVar

from temporalio import workflow

from activities.signatures import Answer, Asked, Signature

T = TypeVar("T")


def perform(
    signature: Signature[Asked, Answer], request: Asked, summary: str, **times: timedelta
) -> workflow.ActivityHandle[Answer]:
    """Begin an activity as its signature says; `times` are time-outs that only the caller knows."""
    options: dict[str, Any] = {**signature.options, **times}
    return workflow.start_activity(signature.name, request, result_type=signature.gives, summary=summary, **options)


def left(until: datetime) -> timedelta:
    """The time until an instant, at least a second."""
    return max(until - workflow.now(), timedelta(seconds=1))


def batches(items: Sequence[T], size: int) -> list[tuple[T, ...]]:
    """The items in order, `size` at a time."""
    return [tuple(items[start : start + size]) for start in range(0, len(items), size)]


async def sleep_until(at: datetime, summary: str, unless: Callable[[], bool] = lambda: False) -> None:
    """A durable timer; none if the instant is past, and it ends early once `unless` holds."""
    if at > workflow.now():
        with contextlib.suppress(asyncio.TimeoutError):
            await workflow.wait_condition(unless, timeout=at - workflow.now(), timeout_summary=summary)
