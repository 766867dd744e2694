"""Time as something that is handed in."""

from __future__ import annotations

from datetime import UTC, datetime


class Clock:
    """That of the system; a test hands in one that stands still."""

    def now(self) -> datetime:
        """The present, aware, in UTC."""
        return datetime.now(UTC)
