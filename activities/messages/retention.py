"""Messages of `Retention`."""

from __future__ import annotations

from datetime import date

from activities.messages.base import Instant, Message


class RetentionResult(Message):
    """`size_bytes` were removed, or would be; of the objects kept some are marked and wait for their days of grace."""

    removed: int = 0
    kept: int = 0
    marked: int = 0
    size_bytes: int = 0


class RetentionCursor(RetentionResult):
    """How far the removal of a day has come; `horizon` is when the first object that is needed may have been put."""

    after: str = ""
    horizon: Instant | None = None


class RetentionInput(Message):
    """The removal of a day; `cursor` is carried from execution to execution."""

    day: date
    dry_run: bool = False
    cursor: RetentionCursor = RetentionCursor()

    @property
    def workflow_id(self) -> str:
        """A dry run is no obstacle to the real one."""
        return f"retention/{self.day}" + ("/dry-run" if self.dry_run else "")


class MarkUnreferenced(Message):
    """Asks to look at the objects that follow a key, and to mark what nothing needs unless it is a dry run."""

    at: Instant
    dry_run: bool
    after: str
    horizon: Instant | None


class Marked(Message):
    """What a page holds; `due` of the unneeded objects have been marked long enough; without `until` it is the last."""

    horizon: Instant
    until: str | None
    objects: int
    unneeded: int
    due: int
    due_bytes: int


class DeleteObjects(Message):
    """Asks to delete the objects of a page that have been marked long enough and were not put since the horizon."""

    at: Instant
    after: str
    until: str | None
    horizon: Instant


class Deleted(Message):
    objects: int
    size_bytes: int
