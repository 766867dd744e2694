"""Deadlines of a run, so that each scored lead becomes valid after the last commitment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

MOVE = timedelta(minutes=10)
MOST_HINDCAST_MOVES = 6
RETENTION = timedelta(hours=72)


@dataclass(frozen=True)
class DeadlineRules:
    """How long miners have.

    Attributes:
        hindcast: the weather is known, so no lead bounds the deadline.
        wait: from the call to the deadline.
        guard: least distance from the deadline to the first scored valid time.
        min_window: least time from the call to the guard of the first scored lead.

    Raises:
        ValueError: guard below one second, or one of them not in whole seconds.
    """

    hindcast: bool = False
    wait: timedelta = timedelta(minutes=60)
    guard: timedelta = timedelta(seconds=1)
    min_window: timedelta = timedelta(minutes=15)

    def __post_init__(self) -> None:
        if self.guard < timedelta(seconds=1) or self.wait.microseconds or self.guard.microseconds:
            raise ValueError(f"guard {self.guard} and wait {self.wait} must be whole seconds, the guard at least 1 s")

    def first_scored_lead(self, init_time: datetime, requested_at: datetime, leads: Sequence[int]) -> int | None:
        """The first lead in hours that leaves miners enough time; None voids the run."""
        in_time = (
            lead
            for lead in sorted(leads)
            if self.hindcast or requested_at + self.min_window <= self.latest(init_time, lead)
        )
        return next(in_time, None)

    def latest(self, init_time: datetime, first_lead: int) -> datetime:
        """The instant beyond which no deadline of a live run moves."""
        return init_time + timedelta(hours=first_lead) - self.guard

    def deadline(self, init_time: datetime, requested_at: datetime, first_lead: int) -> datetime:
        """The one instant until which a commitment is in time."""
        wanted = requested_at + self.wait
        return wanted if self.hindcast else min(wanted, self.latest(init_time, first_lead))

    def moved(self, deadline: datetime, init_time: datetime, first_lead: int, moves: int) -> datetime | None:
        """The deadline after one more fault of ours and so many moves; None if it can not move, which voids the run."""
        if self.hindcast:
            return deadline + MOVE if moves < MOST_HINDCAST_MOVES else None
        moved = min(deadline + MOVE, self.latest(init_time, first_lead))
        return moved if moved > deadline else None


def in_time(received_at: datetime, deadline: datetime) -> bool:
    """Whether a commitment whose last byte came at this instant counts."""
    return received_at <= deadline


def retain_until(last_valid_time: datetime, truth_delay: timedelta, deadline: datetime) -> datetime:
    """Until when a miner must keep and serve every object."""
    return max(last_valid_time + truth_delay, deadline) + RETENTION
