"""Neighbours in fixed groups."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


def batches(items: Sequence[T], size: int) -> list[tuple[T, ...]]:
    """The items in order, `size` at a time."""
    return [tuple(items[start : start + size]) for start in range(0, len(items), size)]
