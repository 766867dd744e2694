"""`Retention`: removes what nothing refers to any more, a week after it was marked."""

from __future__ import annotations

from temporalio import workflow

from activities import signatures
from activities.messages.retention import (
    DeleteObjects,
    Marked,
    MarkUnreferenced,
    RetentionCursor,
    RetentionInput,
    RetentionResult,
)
from weather.faults import ConfigurationInvalid
from workflows.steps import perform

PAGES = 200


@workflow.defn
class Retention:
    """A page of the object store at a time: first marks, then what has been marked long enough."""

    @workflow.init
    def __init__(self, request: RetentionInput) -> None:
        self._dry_run, self._cursor = request.dry_run, request.cursor

    @workflow.run
    async def run(self, request: RetentionInput) -> RetentionResult:
        if (found := workflow.info().workflow_id) != request.workflow_id:
            raise ConfigurationInvalid("a removal has one id", found=found, expected=request.workflow_id)
        for _ in range(PAGES):
            marked = await self._mark()
            removed, size_bytes = await self._delete(marked)
            self._count(marked, removed, size_bytes)
            if marked.until is None:
                return RetentionResult(**self._cursor.model_dump(include=set(RetentionResult.model_fields)))
        workflow.continue_as_new(request.model_copy(update={"cursor": self._cursor}))

    async def _mark(self) -> Marked:
        cursor = self._cursor
        page = MarkUnreferenced(at=workflow.now(), dry_run=self._dry_run, after=cursor.after, horizon=cursor.horizon)
        return await perform(
            signatures.MARK_UNREFERENCED, page, f"mark what nothing needs after {cursor.after[:16] or 'the beginning'}"
        )

    async def _delete(self, marked: Marked) -> tuple[int, int]:
        """Objects and bytes; in a dry run those that would be deleted."""
        if self._dry_run or not marked.due:
            return marked.due, marked.due_bytes
        page = DeleteObjects(at=workflow.now(), after=self._cursor.after, until=marked.until, horizon=marked.horizon)
        deleted = await perform(signatures.DELETE_OBJECTS, page, f"delete {marked.due} objects")
        return deleted.objects, deleted.size_bytes

    def _count(self, page: Marked, removed: int, size_bytes: int) -> None:
        cursor = self._cursor
        self._cursor = RetentionCursor(
            after=page.until or "",
            horizon=page.horizon,
            removed=cursor.removed + removed,
            kept=cursor.kept + page.objects - removed,
            marked=cursor.marked + page.unneeded - removed,
            size_bytes=cursor.size_bytes + size_bytes,
        )
        done = self._cursor
        workflow.set_current_details(f"removed {done.removed}, kept {done.kept}, {done.marked} of them marked")
