"""Best of several, and how results are told: a value, its unit, and its ratio to a named baseline."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One line of a table; `target` is the rule that the ratio should keep."""

    name: str
    value: float
    unit: str
    ratio: float | None = None
    target: str = ""


@dataclass(frozen=True)
class Table:
    """Rows against one baseline."""

    title: str
    baseline: str
    rows: tuple[Row, ...]


def best_seconds(action: Callable[[], object], repeats: int) -> float:
    """The shortest of several runs, after one that is not counted."""
    action()
    return min(_seconds(action) for _ in range(repeats))


def _seconds(action: Callable[[], object]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started
