"""Short calls to miners over HTTP, judged here, answered as data."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

from temporalio import activity

from activities import documents
from activities.messages.base import FaultNote
from activities.messages.miner import DeliverReceipt, MinerAnswer, MinerCall, PollCommitment, Stage
from adapters.catalog import Catalog
from adapters.miner_client import MinerClient
from adapters.object_store import ObjectStore
from adapters.witness import Witness
from protocol.commitment import accept
from protocol.messages import (
    CommitmentData,
    ForecastRequestData,
    JobError,
    KerchunkCompleted,
    KerchunkError,
    KerchunkProcessing,
)
from protocol.names import job_id
from protocol.receipt import CommitmentAnswer
from protocol.registry import RosterEntry
from weather.faults import HindcastDeclined, MinerFault, MinerReportedError, NoCommitment

LAST_POLL_BEFORE_DEADLINE = timedelta(seconds=30)
POLL_PAUSE = timedelta(minutes=5)
SHORTEST_PAUSE = timedelta(seconds=1)
STAGE: dict[str, Stage] = {"received": "received", "processing": "fetching", "completed": "completed", "error": "error"}


class HttpMinerCalls:
    """Holds a request key, never the ledger."""

    def __init__(self, client: MinerClient, store: ObjectStore, catalog: Catalog, witness: Witness) -> None:
        self._client, self._store, self._catalog, self._witness = client, store, catalog, witness

    @activity.defn
    async def request_forecast(self, request: MinerCall) -> MinerAnswer:
        """Ask for the forecast (call 2)."""
        call, roster = await self._target(request)
        async with self._witness.of("POST", request.hotkey):
            answer = await self._client.request_forecast(roster[request.hotkey], call)
        error = answer.error
        _accept_refusal(call, error)
        fault = FaultNote.of(MinerReportedError(error.detail, found=error.code)) if error else None
        return MinerAnswer(stage=STAGE[answer.status], input_data_hash=answer.input_data_hash, fault=fault)

    @activity.defn
    async def poll_commitment(self, request: PollCommitment) -> MinerAnswer:
        """Ask for the commitment (call 4) until the stage changes."""
        call, roster = await self._target(request)
        job = job_id(call.network, call.run_id, request.hotkey)
        async with self._witness.of("POST", request.hotkey):
            answer, received_at = await self._client.poll_commitment(roster[request.hotkey], job)
        if isinstance(answer, KerchunkCompleted):
            return await self._committed(request, call, answer, received_at)
        if isinstance(answer, KerchunkError):
            _accept_refusal(call, answer.error)
            pause = self._pause(request, None)
            raise MinerReportedError(answer.error.detail, found=answer.error.code, retry_after=pause)
        if isinstance(answer, KerchunkProcessing) and answer.stage != request.known_stage:
            return MinerAnswer(stage=answer.stage, input_data_hash=answer.input_data_hash)
        raise NoCommitment(f"the miner says: {answer.status}", retry_after=self._pause(request, answer))

    @activity.defn
    async def deliver_receipt(self, request: DeliverReceipt) -> None:
        """Send the receipt of a pulled commitment (call 5)."""
        _, roster = await self._target(request)
        receipt = CommitmentAnswer.parse(await asyncio.to_thread(self._store.get, request.receipt.sha256))
        await self._client.deliver_receipt(roster[request.hotkey], receipt)

    async def _target(self, request: MinerCall) -> tuple[ForecastRequestData, dict[str, RosterEntry]]:
        call = await asyncio.to_thread(documents.call, self._store, request.call.sha256)
        return call, await asyncio.to_thread(documents.roster, self._store, request.roster)

    async def _committed(
        self, request: PollCommitment, call: ForecastRequestData, answer: KerchunkCompleted, received_at: datetime
    ) -> MinerAnswer:
        data = CommitmentData(commitment=answer.commitment, signature=answer.signature)
        layout = self._catalog.pinned_layout(call.grid, call.layout_digest)
        try:
            accept(data, call, request.hotkey, layout)
        except MinerFault as fault:
            fault.retry_after = self._pause(request, None)
            raise
        commitment = await asyncio.to_thread(documents.put, self._store, data.canonical)
        return MinerAnswer(stage="completed", commitment=commitment, received_at=received_at)

    def _pause(self, request: PollCommitment, answer: object) -> timedelta:
        """Until the miner expects to be ready, but never past the last poll before the deadline."""
        now, pause = self._witness.clock.now(), POLL_PAUSE
        if isinstance(answer, KerchunkProcessing):
            pause = timedelta(seconds=answer.retry_after_seconds)
            if answer.estimated_ready_at and answer.estimated_ready_at > now:
                pause = max(answer.estimated_ready_at - now, SHORTEST_PAUSE)
        last = request.commit_deadline - LAST_POLL_BEFORE_DEADLINE
        return min(pause, last - now) if now < last else timedelta(seconds=30)


def _accept_refusal(call: ForecastRequestData, error: JobError | None) -> None:
    """A hindcast may be declined, and the miner is then not ranked; a live run may not."""
    if error is not None and error.code == "declined" and call.purpose == "hindcast":
        raise HindcastDeclined(error.detail, found=error.code)
