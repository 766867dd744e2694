"""Verified transfers: a miner's fault ends a round as data, ours is retried."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import timedelta

from temporalio import activity

from activities import attempts, documents
from activities.messages.audits import AuditObjects, ObjectNote, ObjectsAudited
from activities.messages.base import FaultNote, Ref
from activities.messages.miner import ManifestVerified, VerifyManifest
from activities.messages.run import Run
from activities.messages.scoring import FetchLead, LeadFetched, VerifiedMiner
from adapters import instruments, telemetry
from adapters.catalog import Catalog
from adapters.chunk_decoder import FieldCase
from adapters.forecast_reader import CommittedForecast, FetchedObjects, ForecastReader, ObjectFault
from adapters.object_store import ObjectStore
from adapters.witness import Witness
from protocol.commitment import Commitment
from weather.faults import MinerFault, tree


class VerifiedDownloads:
    """Holds a request key, never the ledger or the secret of the audits; bytes go to the object store by digest."""

    def __init__(self, reader: ForecastReader, store: ObjectStore, catalog: Catalog, witness: Witness) -> None:
        self._reader, self._store, self._catalog, self._witness = reader, store, catalog, witness

    @activity.defn
    async def verify_manifest(self, request: VerifyManifest) -> ManifestVerified:
        """Check token, manifest and metadata against the commitment."""
        forecast = await asyncio.to_thread(self._offered, request)
        try:
            async with attempts.beating(), self._witness.of("GET", request.hotkey):
                manifest = await self._reader.verify_manifest(forecast)
        except MinerFault as fault:
            retryable = _retryable([fault], request.attempt_pauses)
            return ManifestVerified(fault=FaultNote.of(fault), final=not retryable)
        instruments.BYTES_VERIFIED.add(manifest.size_bytes)
        verified = documents.VerifiedStore(commitment=forecast.commitment, manifest=manifest)
        return ManifestVerified(store=await asyncio.to_thread(documents.put_model, self._store, verified))

    @activity.defn
    async def fetch_lead(self, request: FetchLead) -> LeadFetched:
        """Keep the committed bytes of the fields of a pass."""
        hotkey = request.miner.hotkey
        telemetry.about_miner(hotkey)
        forecast, manifest = await asyncio.to_thread(self._verified, request.run, request.miner, request.roster)
        async with attempts.beating():
            fetched = await self._fetch(request, forecast, manifest)
        retryable = _retryable(map(_fault_of, fetched.faults), request.run.attempt_pauses)
        return LeadFetched(
            hotkey=hotkey,
            objects=await asyncio.to_thread(documents.put_model, self._store, fetched),
            missing=len(fetched.faults),
            final=request.last_round or not retryable,
        )

    @activity.defn
    async def audit_objects(self, request: AuditObjects) -> ObjectsAudited:
        """Read the objects of an audit as committed, kept or not."""
        miner = VerifiedMiner(hotkey=request.audit.hotkey, store=request.audit.store)
        telemetry.about_miner(miner.hotkey)
        forecast, manifest = await asyncio.to_thread(self._verified, request.run, miner, request.roster)
        async with attempts.beating():
            audited = await self._reader.audit(forecast, manifest, request.audit.objects)
        faults = {path: fault for path, fault in audited.items() if fault}
        await self._testify(miner.hotkey, faults.values(), served=len(faults) < len(audited))
        retryable = _retryable(faults.values(), request.run.attempt_pauses)
        notes = tuple(ObjectNote(path=path, fault=FaultNote.of(fault)) for path, fault in faults.items())
        return ObjectsAudited(faults=notes, final=request.last_round or not retryable)

    async def _fetch(self, request: FetchLead, forecast: CommittedForecast, manifest: str) -> FetchedObjects:
        rules = self._catalog.pinned_rules(request.run.grid, request.run.score_spec_digest)
        fields = rules.day1_fields if request.pass_name == "day1_qc" else rules.final_fields
        hotkey, chunks, faults = request.miner.hotkey, [], []
        for lead in request.lead_hours:
            try:
                fetched = await self._reader.fetch_lead(forecast, manifest, fields, lead)
            except MinerFault as fault:
                await self._testify(hotkey, [fault], served=False)
                cases = (FieldCase(variable=variable, level=level, lead_hours=lead) for variable, level in fields)
                faults += [ObjectFault.of(case, fault) for case in cases]
                continue
            await self._testify(hotkey, map(_fault_of, fetched.faults), served=fetched.transferred > 0)
            chunks += fetched.chunks
            faults += fetched.faults
        return FetchedObjects(chunks=tuple(chunks), faults=tuple(faults))

    async def _testify(self, hotkey: str, faults: Iterable[MinerFault], *, served: bool) -> None:
        """What came is a witness for others; what did not come needs one."""
        for fault in {fault.code: fault for fault in faults}.values():
            await self._witness.require("GET", hotkey, fault)
        if served:
            self._witness.saw("GET", hotkey)

    def _offered(self, request: VerifyManifest) -> CommittedForecast:
        offer = documents.commitment(self._store, request.commitment)
        call = documents.call(self._store, request.call.sha256)
        return CommittedForecast(
            miner=documents.roster(self._store, request.roster)[request.hotkey],
            commitment=Commitment.parse(offer.commitment),
            layout=self._catalog.pinned_layout(call.grid, call.layout_digest),
        )

    def _verified(self, run: Run, miner: VerifiedMiner, roster: Ref) -> tuple[CommittedForecast, str]:
        verified = documents.get_model(self._store, documents.VerifiedStore, miner.store)
        forecast = CommittedForecast(
            miner=documents.roster(self._store, roster)[miner.hotkey],
            commitment=verified.commitment,
            layout=self._catalog.pinned_layout(run.grid, run.layout_digest),
        )
        return forecast, verified.manifest.sha256


def _retryable(faults: Iterable[MinerFault], pauses: tuple[timedelta, timedelta]) -> bool:
    """Whether another round may help; while this one has attempts left, the fault is raised for another attempt."""
    fault = next((fault for fault in faults if fault.retryable), None)
    if fault is None:
        return False
    spent = attempts.spent_by_miner()
    if spent + 1 >= attempts.MINER_ATTEMPTS_PER_ROUND:
        return True
    fault.retry_after = pauses[min(spent, 1)]
    attempts.spend(fault.code)
    raise fault


def _fault_of(one: ObjectFault) -> MinerFault:
    kind = tree()[one.code]
    assert issubclass(kind, MinerFault)
    return kind(one.detail, found=one.found, expected=one.expected)
