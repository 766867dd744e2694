"""Removal of objects that nothing needs any more."""

from abc import ABC, abstractmethod

from temporalio import activity

from activities.messages.retention import Deleted, DeleteObjects, Marked, MarkUnreferenced


class RetentionRecords(ABC):
    """Ledger and object store."""

    @activity.defn
    @abstractmethod
    def mark_unreferenced(self, request: MarkUnreferenced) -> Marked:
        """Mark what nothing needs in a page of the store, and take away the marks of what is needed again."""

    @activity.defn
    @abstractmethod
    def delete_objects(self, request: DeleteObjects) -> Deleted:
        """Delete what has been marked long enough; again: nothing more."""
