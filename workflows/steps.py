"""Small steps that several workflows take."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TypeVar

from temporalio import workflow

T = TypeVar("T")


def batches(items: Sequence[T], size: int) -> list[tuple[T, ...]]:
    """The items in order, `size` at a time."""
    return [tuple(items[start : start + size]) for start in range(0, len(items), size)]


async def sleep_until(at: datetime, summary: str) -> None:
    """A durable timer; none if the instant is past."""
    if at > workflow.now():
        await workflow.sleep(at - workflow.now(), summary=summary)
