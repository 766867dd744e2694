"""`Children` on Temporal itself: signals to them, and what became of them."""

from __future__ import annotations

from datetime import timedelta

from temporalio import activity
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode

from activities import documents
from activities.messages.base import Message
from activities.messages.miner import DeadlineMoved, MinerSealed
from activities.messages.run import AdoptChild, Adopted, Announce
from adapters.object_store import ObjectStore
from protocol.names import miner_workflow_id
from weather.faults import ChildStillOpen

ASK_AGAIN = timedelta(seconds=10)


class TemporalChildren:
    """Asks the server, never the ledger."""

    def __init__(self, client: Client, store: ObjectStore) -> None:
        self._client, self._store = client, store

    @activity.defn
    async def announce(self, request: Announce) -> None:
        """Signal `sealed` or `deadline_moved` to every waiting child; closed ones are passed over."""
        for hotkey, signal, message in self._messages(request):
            handle = self._client.get_workflow_handle(miner_workflow_id(request.run_id, hotkey))
            try:
                await handle.signal(signal, message)
            except RPCError as error:
                if error.status != RPCStatusCode.NOT_FOUND:
                    raise

    def _messages(self, request: Announce) -> list[tuple[str, str, Message]]:
        if request.moved_to is not None:
            return [(hotkey, "deadline_moved", DeadlineMoved(to=request.moved_to)) for hotkey in request.hotkeys]
        assert request.sealed is not None
        sealed = documents.get_model(self._store, documents.SealedCommitments, request.sealed.commitments.sha256)
        return [(hotkey, "sealed", MinerSealed(recorded=sealed.root.get(hotkey))) for hotkey in request.hotkeys]

    @activity.defn
    async def adopt_child(self, request: AdoptChild) -> Adopted:
        """Answer a completed child's result; an open one is asked again later."""
        handle = self._client.get_workflow_handle(request.workflow_id)
        status = (await handle.describe()).status
        if status == WorkflowExecutionStatus.RUNNING:
            raise ChildStillOpen(request.workflow_id, retry_after=ASK_AGAIN)
        if status == WorkflowExecutionStatus.COMPLETED:
            return Adopted(result=await handle.result())
        return Adopted(result=None)
