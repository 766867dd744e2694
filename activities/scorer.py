"""Verified bytes in, facts and faults out; the rules stand in `weather`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from temporalio import activity

from activities import attempts, documents, entrants
from activities.judging import Judge, LeadWorld
from activities.messages.base import Ref
from activities.messages.revisions import RescoreFields
from activities.messages.scoring import (
    BuildEnsemble,
    ChunkMiner,
    EnsembleBuilt,
    PartScored,
    ScoreEntrants,
    ScoreMiners,
    Scoring,
    TruthSet,
)
from activities.rescoring import RevisionPlan, rescore
from adapters.catalog import Catalog
from adapters.chunk_decoder import ChunkDecoder, FetchedChunk
from adapters.clock import Clock
from adapters.forecast_reader import FetchedObjects
from adapters.object_store import ObjectStore, load_field_set
from weather.clones import Likeness
from weather.faults import MinerFault
from weather.fields import Field
from weather.grids import Grid
from weather.likeness import Component, run_likeness


class FieldScorer:
    """Blocking; streams field by field."""

    def __init__(self, store: ObjectStore, catalog: Catalog, decoder: ChunkDecoder, clock: Clock) -> None:
        self._store, self._catalog, self._decoder, self._clock = store, catalog, decoder, clock

    @activity.defn
    def score_miners(self, request: ScoreMiners) -> PartScored:
        """Score a chunk of miners; resumes at the next miner."""
        judge = self._judge(request)
        done: list[str] = list(attempts.resumed() or [])
        for miner in request.miners[len(done) :]:
            objects = documents.get_model(self._store, FetchedObjects, miner.objects.sha256)
            part = judge.part(miner.hotkey, objects)
            done.append(documents.put_model(self._store, part).sha256)
            attempts.heartbeat(done)
        parts = [documents.get_model(self._store, documents.Part, digest) for digest in done]
        return self._whole(parts)

    @activity.defn
    def score_entrants(self, request: ScoreEntrants) -> PartScored:
        """Prove the scorer by forecasts of known worth, then score our own."""
        with attempts.beating_thread():
            judge = self._judge(request)
            entrants.prove(judge)
            return self._whole(entrants.baselines(judge, self._store, request.inputs))

    @activity.defn
    def compare_miners(self, request: ScoreMiners) -> Ref:
        """Keep how alike the day-1 fields of all miners are."""
        with attempts.beating_thread():
            found = _compare(self._judge(request), self._store, request.miners)
            return documents.put_model(self._store, found)

    @activity.defn
    def build_ensemble(self, request: BuildEnsemble) -> EnsembleBuilt:
        """Keep and score the weighted means of the members."""
        with attempts.beating_thread():
            return entrants.ensemble(self._judge(request), self._store, request)

    @activity.defn
    def rescore_fields(self, request: RescoreFields) -> Ref:
        """Prove the scorer, then score what has changed again: for everybody or for nobody."""
        with attempts.beating_thread():
            judge, run = self._judge(request), request.run
            entrants.prove(judge)
            layout = self._catalog.pinned_layout(run.grid, run.layout_digest)
            plan = documents.get_model(self._store, RevisionPlan, request.plan.sha256)
            return documents.put_model(self._store, rescore(judge, self._store, layout, plan))

    def _whole(self, parts: list[documents.Part]) -> PartScored:
        whole = documents.Part(
            facts=tuple(fact for part in parts for fact in part.facts),
            faults=tuple(fault for part in parts for fault in part.faults),
        )
        return PartScored(
            part=documents.put_model(self._store, whole), facts=len(whole.facts), faults=len(whole.faults)
        )

    def _judge(self, request: Scoring) -> Judge:
        run = request.run
        layout = self._catalog.pinned_layout(run.grid, run.layout_digest)
        worlds = {one.lead_hours: self._world(layout.grid_value, one) for one in request.truth.sets}
        return Judge(
            request=request,
            rules=self._catalog.pinned_rules(run.grid, run.score_spec_digest),
            worlds=worlds,
            decode=lambda chunk: self._decoder.decode_field(layout, chunk, run.valid_time(chunk.lead_hours)),
            now=self._clock.now(),
        )

    def _world(self, grid: Grid, one: TruthSet) -> LeadWorld:
        return LeadWorld(
            sets=one,
            truth=load_field_set(self._store, grid, one.truth.sha256),
            climatology=load_field_set(self._store, grid, one.climatology.sha256),
            references=[load_field_set(self._store, grid, ref.sha256) for ref in one.references],
            gfs=load_field_set(self._store, grid, one.gfs.sha256) if one.gfs else None,
        )


def _compare(judge: Judge, store: ObjectStore, miners: Sequence[ChunkMiner]) -> Likeness:
    """How alike the miners are; what does not decode is not compared."""
    chunks: defaultdict[tuple[int, str, int], dict[str, FetchedChunk]] = defaultdict(dict)
    for miner in miners:
        for chunk in documents.get_model(store, FetchedObjects, miner.objects.sha256).chunks:
            chunks[chunk.lead_hours, chunk.variable, chunk.level][miner.hotkey] = chunk
    return run_likeness(_components(judge, chunks), judge.rules.grid_value.row_weights)


def _components(judge: Judge, chunks: dict[tuple[int, str, int], dict[str, FetchedChunk]]) -> Iterator[Component]:
    for (lead, variable, level), found in sorted(chunks.items()):
        fields = {hotkey: field.values for hotkey, chunk in found.items() if (field := _decoded(judge, chunk))}
        for public in judge.worlds[lead].references[:1]:
            yield fields, public[variable, level].values


def _decoded(judge: Judge, chunk: FetchedChunk) -> Field | None:
    try:
        return judge.decode(chunk)
    except MinerFault:
        return None
