"""`Downloads`: verified transfers; a miner's fault ends a round as data, ours is retried."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from temporalio import activity

from activities import attempts, documents
from activities.messages.base import FaultNote
from activities.messages.miner import ManifestVerified, VerifyManifest
from activities.messages.scoring import FetchLead, LeadFetched
from adapters import instruments, telemetry
from adapters.catalog import Catalog
from adapters.forecast_reader import CommittedForecast, FetchedObjects, ForecastReader, ObjectFault
from adapters.object_store import ObjectStore
from adapters.witness import Witness
from protocol.commitment import Commitment
from protocol.layout import Layout
from protocol.registry import RosterEntry
from weather.faults import MinerFault, tree

Fields = tuple[tuple[str, int], ...]


class VerifiedDownloads:
    """Holds a request key, never the ledger; bytes go to the object store by digest."""

    def __init__(self, reader: ForecastReader, store: ObjectStore, catalog: Catalog, witness: Witness) -> None:
        self._reader, self._store, self._catalog, self._witness = reader, store, catalog, witness

    @activity.defn
    async def verify_manifest(self, request: VerifyManifest) -> ManifestVerified:
        """Check token, manifest and metadata against the commitment."""
        forecast = await asyncio.to_thread(self._offered, request)
        try:
            async with attempts.beating(), self._witness.of("GET", request.target.hotkey):
                manifest = await self._reader.verify_manifest(forecast)
        except MinerFault as fault:
            if _worth_another(fault):
                fault.retry_after = pause(request.attempt_pauses)
                attempts.spend(fault.code)
                raise
            return ManifestVerified(fault=note(fault), final=not fault.retryable)
        instruments.BYTES_VERIFIED.add(manifest.size_bytes)
        verified = documents.VerifiedStore(commitment=forecast.commitment, manifest=manifest)
        return ManifestVerified(store=await asyncio.to_thread(documents.put_model, self._store, verified))

    @activity.defn
    async def fetch_lead(self, request: FetchLead) -> LeadFetched:
        """Keep the committed bytes of the fields of a pass."""
        telemetry.about_miner(request.miner.hotkey)
        forecast, manifest = await asyncio.to_thread(self._verified, request)
        async with attempts.beating():
            fetched = await self._fetch(request, forecast, manifest)
        retryable = [fault for fault in fetched.faults if tree()[fault.code].retryable]
        if retryable and attempts_left():
            retry_after = pause(request.run.attempt_pauses)
            attempts.spend(retryable[0].code)
            raise tree()[retryable[0].code](retryable[0].detail, retry_after=retry_after)
        return LeadFetched(
            hotkey=request.miner.hotkey,
            objects=await asyncio.to_thread(documents.put_model, self._store, fetched),
            missing=len(fetched.faults),
            final=request.last_round or not retryable,
        )

    async def _fetch(self, request: FetchLead, forecast: CommittedForecast, manifest: str) -> FetchedObjects:
        rules = self._catalog.pinned_rules(request.run.grid, request.run.score_spec_digest)
        fields = rules.day1_fields if request.pass_name == "day1_qc" else rules.final_fields
        chunks, faults = [], []
        for lead in request.lead_hours:
            try:
                fetched = await self._reader.fetch_lead(forecast, manifest, fields, lead)
            except MinerFault as fault:
                await self._witness.require("GET", request.miner.hotkey, fault)
                faults += [_of_field(fault, lead, field) for field in fields]
                continue
            await self._testify(request.miner.hotkey, fetched)
            chunks += fetched.chunks
            faults += fetched.faults
        return FetchedObjects(chunks=tuple(chunks), faults=tuple(faults))

    async def _testify(self, hotkey: str, fetched: FetchedObjects) -> None:
        """What came is a witness for others; what did not come needs one."""
        for code in {fault.code for fault in fetched.faults}:
            await self._witness.require("GET", hotkey, _miner_fault(code))
        if fetched.transferred:
            self._witness.saw("GET", hotkey)

    def _offered(self, request: VerifyManifest) -> CommittedForecast:
        target = request.target
        offer = documents.commitment(self._store, request.commitment)
        call = documents.call(self._store, target.call)
        miner = documents.roster(self._store, target.roster)[target.hotkey]
        layout = self._catalog.pinned_layout(call.grid, call.layout_digest)
        return _forecast(miner, Commitment.parse(offer.commitment), layout)

    def _verified(self, request: FetchLead) -> tuple[CommittedForecast, str]:
        verified = documents.get_model(self._store, documents.VerifiedStore, request.miner.store)
        miner = documents.roster(self._store, request.roster)[request.miner.hotkey]
        layout = self._catalog.pinned_layout(request.run.grid, request.run.layout_digest)
        return _forecast(miner, verified.commitment, layout), verified.manifest.sha256


def _forecast(miner: RosterEntry, commitment: Commitment, layout: Layout) -> CommittedForecast:
    return CommittedForecast(miner=miner, commitment=commitment, layout=layout)


def pause(pauses: tuple[timedelta, timedelta]) -> timedelta:
    """How long until the next attempt of a round."""
    return pauses[min(attempts.spent_by_miner(), 1)]


def attempts_left() -> bool:
    """Whether the miner has another attempt in this round."""
    return attempts.spent_by_miner() + 1 < attempts.MINER_ATTEMPTS_PER_ROUND


def _worth_another(fault: MinerFault) -> bool:
    return fault.retryable and attempts_left()


def note(fault: MinerFault) -> FaultNote:
    """The fault as data."""
    return FaultNote(
        code=fault.code, cause=fault.cause, detail=fault.detail, found=fault.found, expected=fault.expected
    )


def _of_field(fault: MinerFault, lead: int, field: tuple[str, int]) -> ObjectFault:
    variable, level = field
    return ObjectFault(
        variable=variable,
        level=level,
        lead_hours=lead,
        code=fault.code,
        detail=fault.detail,
        found=fault.found,
        expected=fault.expected,
    )


def _miner_fault(code: str) -> MinerFault:
    kind = tree()[code]
    assert issubclass(kind, MinerFault)
    return kind(code)
