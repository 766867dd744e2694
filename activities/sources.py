"""Fields from archives: planned, fetched, decoded, proved, kept; answered by digest."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from temporalio import activity

from activities import attempts, documents
from activities.messages.base import Ref
from activities.messages.revisions import ValidTimes
from activities.messages.run import Inputs, Run
from activities.messages.scoring import EnsureTruth, TruthReady, TruthSet
from adapters import instruments
from adapters.catalog import Catalog
from adapters.gfs_archive import GfsArchive
from adapters.grib_decoder import GribDecoder
from adapters.inputs import FetchedFields, fetch_fields, keep_bundle
from adapters.object_store import ObjectStore
from adapters.zarr_source import fetch_climatology, fetch_reanalysis, final_times
from protocol.messages import InitMetadata, input_data_hash
from weather.faults import CycleNotYetAvailable, SourceFault, SourceGone, TruthNotYetAvailable
from weather.field_sets import Kind, field_set_document
from weather.fields import Field
from weather.grids import Grid
from weather.score_spec import ScoreSpec

CYCLE = timedelta(hours=6)
Fields = Sequence[tuple[str, int]]


@dataclass(frozen=True)
class Archives:
    """The three sources, how GRIB is decoded, how long to wait for truth, and whether GFS is entered to the end."""

    gfs: GfsArchive
    decoder: GribDecoder
    reanalysis_url: str
    climatology_url: str
    truth_retry: timedelta
    gfs_entrant: bool = False


def kept_inputs(store: ObjectStore, grid: str, sets: Sequence[FetchedFields]) -> Inputs:
    """What a call says of fetched analyses; blocking."""
    objects = tuple(one for fetched in sets for one in fetched.objects)
    return Inputs(
        objects=documents.put(store, InitMetadata(objects=objects).canonical),
        input_data_hash=input_data_hash(objects),
        bundle_digest=keep_bundle(store, grid, [field for fetched in sets for field in fetched.fields]),
        size_bytes=sum(one.length for one in objects),
    )


class ArchiveSources:
    """Reaches archives and the object store, nothing else."""

    def __init__(self, archives: Archives, store: ObjectStore, catalog: Catalog) -> None:
        self._archives, self._store, self._catalog = archives, store, catalog

    @activity.defn
    async def fetch_inputs(self, request: Run) -> Inputs:
        """Fetch and prove the analyses of T0 and, unless it is gone for all, of T0 − 6 h."""
        layout = self._catalog.pinned_layout(request.grid, request.layout_digest)
        async with attempts.beating():
            sets = [await self._gfs(layout.grid_value, request.init_time, 0, layout.fields())]
            try:
                sets.append(await self._gfs(layout.grid_value, request.init_time - CYCLE, 0, layout.fields()))
            except SourceGone as gone:
                activity.logger.warning("the earlier analysis is gone: %s", gone)
        return await asyncio.to_thread(kept_inputs, self._store, request.grid, sets)

    @activity.defn
    async def ensure_truth(self, request: EnsureTruth) -> TruthReady:
        """Fetch and prove what a pass is scored against."""
        rules = self._catalog.pinned_rules(request.run.grid, request.run.score_spec_digest)
        one = self._day1_set if request.pass_name == "day1_qc" else self._final_set
        async with attempts.beating():
            sets = tuple([await one(request, rules, lead) for lead in request.lead_hours])
        instruments.TRUTH_READY.add(len(sets), pass_=request.pass_name)
        return TruthReady(sets=sets)

    @activity.defn
    async def published_truth(self, request: ValidTimes) -> ValidTimes:
        """Those of the times whose final truth is said to be there."""
        async with attempts.beating():
            final = await asyncio.to_thread(final_times, self._archives.reanalysis_url, request.valid_times)
        return ValidTimes(valid_times=tuple(final))

    async def _final_set(self, request: EnsureTruth, rules: ScoreSpec, lead: int) -> TruthSet:
        run, wanted = request.run, request.truth_version
        valid_time, grid, fields = run.valid_time(lead), rules.grid_value, rules.final_fields
        url = self._archives.reanalysis_url
        try:
            version, truth = await asyncio.to_thread(fetch_reanalysis, url, valid_time, grid, fields)
            if wanted not in (None, version):
                raise TruthNotYetAvailable("another version is there", found=version, expected=wanted)
        except TruthNotYetAvailable as fault:
            fault.retry_after = self._archives.truth_retry
            raise
        enters_gfs = self._archives.gfs_entrant and wanted is None
        return TruthSet(
            lead_hours=lead,
            truth_version="era5" if version == "era5" else "era5t",
            truth=await self._keep("truth", version, truth),
            climatology=await self._climatology(rules, valid_time, fields),
            gfs=await self._entered_gfs(grid, run.init_time, lead, fields) if enters_gfs else None,
        )

    async def _entered_gfs(self, grid: Grid, cycle: datetime, lead: int, fields: Fields) -> Ref | None:
        """Whatever is wrong with it, no miner waits for it."""
        try:
            return await self._keep("forecast", "gfs", (await self._gfs(grid, cycle, lead, fields)).fields)
        except SourceFault as absent:
            activity.logger.warning("GFS is not entered at %d h: %s", lead, absent)
            return None

    async def _day1_set(self, request: EnsureTruth, rules: ScoreSpec, lead: int) -> TruthSet:
        run, grid, fields = request.run, rules.grid_value, rules.day1_fields
        valid_time = run.valid_time(lead)
        version = rules.day1_qc.truth[0]
        truth = await self._gfs(grid, valid_time, 0, fields)
        return TruthSet(
            lead_hours=lead,
            truth_version=version,
            truth=await self._keep("truth", version, truth.fields),
            climatology=await self._climatology(rules, valid_time, fields),
            references=await self._references(run, rules, lead),
        )

    async def _references(self, run: Run, rules: ScoreSpec, lead: int) -> tuple[Ref, ...]:
        """The public forecasts of this cycle and of the one before; the second may be gone for all."""
        grid, fields = rules.grid_value, rules.day1_fields
        first = await self._gfs(grid, run.init_time, lead, fields)
        refs = [await self._keep("forecast", "gfs", first.fields)]
        if len(rules.day1_qc.public_forecasts) > 1:
            try:
                second = await self._gfs(grid, run.init_time - CYCLE, lead + 6, fields)
            except (SourceGone, CycleNotYetAvailable) as absent:
                activity.logger.warning("second public forecast is absent: %s", absent)
            else:
                refs.append(await self._keep("forecast", "gfs-previous", second.fields))
        return tuple(refs)

    async def _climatology(self, rules: ScoreSpec, valid_time: datetime, fields: Fields) -> Ref:
        url = self._archives.climatology_url
        normal = await asyncio.to_thread(fetch_climatology, url, valid_time, rules.grid_value, fields)
        return await self._keep("climatology", rules.climatology, normal)

    async def _gfs(self, grid: Grid, cycle: datetime, lead: int, fields: Fields) -> FetchedFields:
        archives = self._archives
        return await fetch_fields(archives.gfs, archives.decoder, self._store, grid, cycle, lead, fields)

    async def _keep(self, kind: Kind, version: str, fields: Sequence[Field]) -> Ref:
        return await asyncio.to_thread(self._put, kind, version, fields)

    def _put(self, kind: Kind, version: str, fields: Sequence[Field]) -> Ref:
        for field in fields:
            self._store.put_field(field)
        return documents.put(self._store, field_set_document(kind, version, fields[0].grid.name, fields))
