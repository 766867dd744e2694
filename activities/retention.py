"""Objects that nothing needs: marked in the ledger, then deleted from the store."""

from __future__ import annotations

from temporalio import activity

from activities import attempts
from activities.messages.retention import Deleted, DeleteObjects, Marked, MarkUnreferenced
from adapters.ledger import retention
from adapters.ledger.engine import Ledger
from adapters.object_store import ObjectStore

PAGE = 1_000


class LedgerRetention:
    """A page at a time."""

    def __init__(self, ledger: Ledger, store: ObjectStore, page: int = PAGE) -> None:
        self._ledger, self._store, self._page = ledger, store, page

    @activity.defn
    def mark_unreferenced(self, request: MarkUnreferenced) -> Marked:
        """Compare the age of each object with the horizon."""
        with attempts.beating_thread():
            page = self._store.listed(request.after, self._page)
            until = page[-1].key if len(page) == self._page else None
            with self._ledger.read() as session:
                horizon = request.horizon or retention.horizon(session, request.at)
                old = [one for one in page if one.put_at < horizon]
                named = retention.named(session, [one.key for one in old])
            unneeded = [one for one in old if one.key not in named]
            with self._ledger.read() if request.dry_run else self._ledger.begin() as session:
                if not request.dry_run:
                    retention.mark(session, (request.after, until), unneeded, request.at)
                due = retention.due(session, request.after, until, request.at)
        sizes = [one.size_bytes for one in unneeded if one.key in due]
        return Marked(
            horizon=horizon,
            until=until,
            objects=len(page),
            unneeded=len(unneeded),
            due=len(sizes),
            due_bytes=sum(sizes),
        )

    @activity.defn
    def delete_objects(self, request: DeleteObjects) -> Deleted:
        """Delete the files first and the marks after them, so that a lost attempt is repeated."""
        with attempts.beating_thread():
            with self._ledger.read() as session:
                due = retention.due(session, request.after, request.until, request.at)
            gone = [key for key in due if self._store.delete(key, request.horizon)]
            with self._ledger.begin() as session:
                retention.forget(session, due)
        return Deleted(objects=len(gone), size_bytes=sum(due[key] for key in gone))
