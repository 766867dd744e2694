"""Forecasts of the synthetic planet as verified chunks, and what they are scored against, in an object store."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
import zstandard

from activities import documents
from activities.documents import Part
from activities.messages.base import PassName, Ref
from activities.messages.run import Run
from activities.messages.scoring import ChunkMiner, ScoreMiners, TruthReady, TruthSet
from activities.scorer import FieldScorer
from adapters.catalog import Catalog
from adapters.chunk_decoder import ChunkDecoder, FetchedChunk
from adapters.forecast_reader import FetchedObjects, ObjectFault
from adapters.object_store import ObjectStore
from tests.activities.validator.world import DEFAULTS, GRID, OPENED, T0, do
from tests.fixed_clock import FixedClock
from weather.field_sets import Kind, field_set_document
from weather.fields import Field
from weather.planet.planet import Planet, Weather

PLANET = Planet(7)
CATALOG = Catalog()
RULES = CATALOG.rules(GRID)
LAYOUT = CATALOG.layout(GRID)
SCORED_AT = T0 + timedelta(days=7)
DAY1_LEADS = (6, 12)
FINAL_FIELDS = (("2t", 0), ("msl", 0), ("t", 850), ("z", 500))
RUN = Run(
    network="test",
    run_id="forecast/2026-11-22T18Z",
    init_time=T0,
    purpose="live",
    grid=GRID,
    layout_digest=LAYOUT.digest,
    score_spec_digest=RULES.digest,
    day1_lead_hours=DAY1_LEADS,
    final_lead_hours=RULES.final_leads,
    opened_at=OPENED,
    close_by=T0 + timedelta(days=25),
    seal_grace=DEFAULTS.seal_grace,
    truth_delay=DEFAULTS.truth_delay,
    heartbeat_timeout=DEFAULTS.heartbeat_timeout,
)
Fields = Sequence[tuple[str, int]]
Forecast = Callable[[int], Weather]
Change = Callable[[np.ndarray], np.ndarray]


def skilful(name: str, skill: float = 1.4) -> Forecast:
    return lambda lead: PLANET.miner_forecast(name, skill, T0, lead)


def copied_gfs(lead: int) -> Weather:
    return PLANET.gfs_forecast(T0, lead)


def climatology(lead: int) -> Weather:
    return PLANET.climatology(RUN.valid_time(lead))


def fields_of(weather: Weather, fields: Fields) -> list[Field]:
    return [weather.field(variable, level, LAYOUT.grid_value) for variable, level in fields]


@dataclass(frozen=True)
class Desk:
    """A scorer and its object store."""

    store: ObjectStore
    decoder: ChunkDecoder

    @property
    def scorer(self) -> FieldScorer:
        return FieldScorer(self.store, CATALOG, self.decoder, FixedClock(SCORED_AT))

    def kept(self, kind: Kind, weather: Weather, fields: Fields) -> Ref:
        """A field set."""
        values = fields_of(weather, fields)
        for field in values:
            self.store.put_field(field)
        return documents.put(self.store, field_set_document(kind, "planet", GRID, values))

    def chunk(self, field: Field, lead: int, values: np.ndarray | None = None) -> FetchedChunk:
        """A chunk with the values of a field, or with others in its name."""
        body = zstandard.compress((field.values if values is None else values).astype("<f4").tobytes())
        case = {"variable": field.variable, "level": field.level, "lead_hours": lead}
        return FetchedChunk.model_validate({**case, "sha256": self.store.put(body), "codec": "zstd"})

    def objects(
        self,
        forecast: Forecast,
        leads: Sequence[int],
        fields: Fields,
        changes: Mapping[tuple[int, str], Change] | None = None,
    ) -> FetchedObjects:
        """A miner's chunks; `changes` spoil single ones."""
        spoil, chunks = changes or {}, []
        for lead in leads:
            for field in fields_of(forecast(lead), fields):
                change = spoil.get((lead, field.short_name))
                chunks.append(self.chunk(field, lead, change(field.values) if change else None))
        return FetchedObjects(chunks=tuple(chunks), faults=())

    def final_truth(self, lead: int, fields: Fields = FINAL_FIELDS) -> TruthReady:
        one = TruthSet(
            lead_hours=lead,
            truth_version="era5t",
            truth=self.kept("truth", PLANET.era5t(RUN.valid_time(lead)), fields),
            climatology=self.kept("climatology", climatology(lead), fields),
        )
        return TruthReady(sets=(one,))

    def day1_truth(self, references: int = 2) -> TruthReady:
        def one(lead: int) -> TruthSet:
            public = [PLANET.gfs_forecast(T0, lead), PLANET.gfs_forecast(T0 - timedelta(hours=6), lead + 6)]
            return TruthSet(
                lead_hours=lead,
                truth_version="gfs_analysis",
                truth=self.kept("truth", PLANET.gfs_analysis(RUN.valid_time(lead)), RULES.day1_fields),
                climatology=self.kept("climatology", climatology(lead), RULES.day1_fields),
                references=tuple(self.kept("forecast", each, RULES.day1_fields) for each in public[:references]),
            )

        return TruthReady(sets=tuple(one(lead) for lead in DAY1_LEADS))

    def request(self, pass_name: PassName, truth: TruthReady, miners: Mapping[str, FetchedObjects]) -> ScoreMiners:
        chunk = tuple(
            ChunkMiner(hotkey=hotkey, objects=documents.put_model(self.store, objects))
            for hotkey, objects in miners.items()
        )
        return ScoreMiners(run=RUN, pass_name=pass_name, generation=1, truth=truth, miners=chunk)

    def part(self, request: ScoreMiners) -> Part:
        scored = do(self.scorer.score_miners, request)
        part = documents.get_model(self.store, Part, scored.part.sha256)
        assert (scored.facts, scored.faults) == (len(part.facts), len(part.faults))
        return part


def lacking(code: str, lead: int, variable: str, level: int = 0) -> ObjectFault:
    """What the downloader says of a chunk that it could not have."""
    found: dict[str, Any] = {"detail": "path", "found": "404", "expected": None}
    return ObjectFault(code=code, lead_hours=lead, variable=variable, level=level, **found)
