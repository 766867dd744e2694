"""`Auditor`: rounds of transfers of single objects, kept already or not."""

from __future__ import annotations

import asyncio

from temporalio import activity

from activities import attempts, documents, downloads
from activities.messages.audits import AuditObjects, ObjectNote, ObjectsAudited
from adapters import telemetry
from adapters.catalog import Catalog
from adapters.forecast_reader import CommittedForecast, ForecastReader
from adapters.object_store import ObjectStore
from adapters.witness import Witness
from weather.faults import MinerFault


class StoreAuditor:
    """Holds a request key, never the ledger or the secret."""

    def __init__(self, reader: ForecastReader, store: ObjectStore, catalog: Catalog, witness: Witness) -> None:
        self._reader, self._store, self._catalog, self._witness = reader, store, catalog, witness

    @activity.defn
    async def audit_objects(self, request: AuditObjects) -> ObjectsAudited:
        """Read the objects of an audit as committed, kept or not."""
        hotkey = request.audit.hotkey
        telemetry.about_miner(hotkey)
        forecast, manifest = await asyncio.to_thread(self._verified, request)
        async with attempts.beating():
            audited = await self._reader.audit(forecast, manifest, request.audit.objects)
        faults = {path: fault for path, fault in audited.items() if fault}
        await self._testify(hotkey, list(faults.values()), served=len(faults) < len(audited))
        retryable = [fault for fault in faults.values() if fault.retryable]
        if retryable and downloads.attempts_left():
            retryable[0].retry_after = downloads.pause(request.run.attempt_pauses)
            attempts.spend(retryable[0].code)
            raise retryable[0]
        notes = tuple(ObjectNote(path=path, fault=downloads.note(fault)) for path, fault in faults.items())
        return ObjectsAudited(faults=notes, final=request.last_round or not retryable)

    async def _testify(self, hotkey: str, faults: list[MinerFault], *, served: bool) -> None:
        """What came is a witness for others; what did not come needs one."""
        for fault in faults:
            await self._witness.require("GET", hotkey, fault)
        if served:
            self._witness.saw("GET", hotkey)

    def _verified(self, request: AuditObjects) -> tuple[CommittedForecast, str]:
        verified = documents.get_model(self._store, documents.VerifiedStore, request.audit.store)
        miner = documents.roster(self._store, request.roster)[request.audit.hotkey]
        layout = self._catalog.pinned_layout(request.run.grid, request.run.layout_digest)
        forecast = CommittedForecast(miner=miner, commitment=verified.commitment, layout=layout)
        return forecast, verified.manifest.sha256
