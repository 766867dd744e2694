"""A run's children on Temporal itself: signals to them, and what became of them."""

from __future__ import annotations

from datetime import timedelta

from temporalio import activity
from temporalio.client import Client, WorkflowExecutionStatus

from activities import documents
from activities.messages.miner import CommitmentRecorded, DeadlineMoved, MinerSealed
from activities.messages.run import AdoptChild, Adopted, Announce
from adapters.object_store import ObjectStore
from adapters.temporal_client import signal
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
        at_seal: dict[str, CommitmentRecorded] = {}
        if request.sealed:
            document = request.sealed.commitments.sha256
            at_seal = documents.get_model(self._store, documents.SealedCommitments, document).root
        for hotkey in request.hotkeys:
            child = miner_workflow_id(request.run_id, hotkey)
            if request.moved_to:
                await signal(self._client, child, "deadline_moved", DeadlineMoved(to=request.moved_to))
            else:
                await signal(self._client, child, "sealed", MinerSealed(recorded=at_seal.get(hotkey)))

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
