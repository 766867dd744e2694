"""A clock that stands still until it is advanced."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from adapters.clock import Clock


class FixedClock(Clock):
    def __init__(self, at: datetime) -> None:
        if at.tzinfo is None:
            raise ValueError(f"a clock needs an aware time, found {at.isoformat()}")
        self._at = at.astimezone(UTC)

    def now(self) -> datetime:
        return self._at

    def advance(self, by: timedelta) -> datetime:
        self._at += by
        return self._at
