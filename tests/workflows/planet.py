"""The world around a validator under skipped time: miners of known skill, inputs, truth and scores."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from temporalio import activity
from temporalio.client import Client

from activities import documents
from activities.messages.base import Ref
from activities.messages.miner import (
    ManifestVerified,
    MinerAnswer,
    MinerCall,
    PollCommitment,
    VerifyManifest,
)
from activities.messages.run import Inputs, Run
from activities.messages.scoring import (
    EnsureTruth,
    FetchLead,
    LeadFetched,
    PartScored,
    ScoreEntrants,
    ScoreMiners,
    Scoring,
    TruthReady,
    TruthSet,
)
from adapters.catalog import Catalog
from adapters.clock import Clock
from adapters.ledger.engine import Ledger
from adapters.ledger.values import ScoreFact
from adapters.object_store import ObjectStore
from adapters.round_backend import RoundBackend
from protocol.identity import PrivateKey
from protocol.messages import InitMetadata, input_data_hash
from protocol.registry import Registry
from tests.activities.validator.world import SOURCE, offer, registry
from tests.stack import GRID, written_grid
from tests.workflows.fake_scores import FakeScores
from tests.workflows.fakes import FakeMiners
from tests.workflows.script import DIGEST, REF, Script
from weather.cases import case_set
from weather.clones import Likeness
from weather.faults import SourceGone, TruthNotYetAvailable
from weather.score_spec import GATE

BASELINE = "baseline/climatology"


class ServerClock(Clock):
    """The time of the server that skips it, as the attempt knows it."""

    def now(self) -> datetime:
        return activity.info().started_time.astimezone(UTC)


@dataclass
class Planet:
    """Many miners of known skill, one cycle whose truth is lost, one whose truth is late, and leads that have none."""

    root: Path
    ledger: Ledger
    client: Client
    count: int
    lost: datetime | None = None
    late: datetime | None = None
    late_by: timedelta = timedelta(days=5)
    truthless: Mapping[datetime, Collection[int]] = field(default_factory=dict)
    grid: str = GRID
    backend: RoundBackend | None = None
    stuck: bool = False
    asked: list[str] = field(default_factory=list)
    store: ObjectStore = field(init=False)

    def __post_init__(self) -> None:
        self.store = ObjectStore(self.root / "objects")
        self.catalog = Catalog(written_grid(self.root / "grids"))
        self.keys = {key.hotkey: key for key in map(key_of, range(self.count))}
        self.seats = list(self.keys.values())
        self.cases = case_set(self.catalog.rules(self.grid))

    def registered(self) -> Registry:
        """Who holds which uid now, which is the number of its seat."""
        known = registry(*self.seats)
        seated = tuple(entry.model_copy(update={"uid": uid}) for uid, entry in enumerate(known.miners))
        return known.model_copy(update={"miners": seated})

    def skill(self, hotkey: str) -> float:
        """From 0.9 of the first miner down to 0.3."""
        return 0.9 - 0.6 * list(self.keys).index(hotkey) / max(1, self.count - 1)


class Miners(FakeMiners):
    """Each commits in time and is verified; the ledger's own records come first."""

    def __init__(self, planet: Planet, script: Script) -> None:
        super().__init__(script, planet.client)
        self.planet = planet

    @activity.defn
    async def request_forecast(self, request: MinerCall) -> MinerAnswer:
        self.planet.asked.append(request.hotkey)
        call = documents.call(self.planet.store, request.call.sha256)
        data = offer(call, self.planet.catalog.layout(self.planet.grid), self.planet.keys[request.hotkey])
        kept = documents.put(self.planet.store, data.canonical)
        return MinerAnswer(stage="completed", commitment=kept, received_at=ServerClock().now())

    @activity.defn
    async def poll_commitment(self, request: PollCommitment) -> MinerAnswer:
        return await self.request_forecast(request)

    @activity.defn
    async def verify_manifest(self, request: VerifyManifest) -> ManifestVerified:
        return ManifestVerified(store=REF)

    @activity.defn
    async def fetch_lead(self, request: FetchLead) -> LeadFetched:
        return LeadFetched(hotkey=request.miner.hotkey, objects=REF)


class Sky:
    """Inputs are there; truth is, but for the cycles that the planet names."""

    def __init__(self, planet: Planet) -> None:
        self.planet = planet

    @activity.defn
    async def fetch_inputs(self, request: Run) -> Inputs:
        metadata = InitMetadata(objects=(SOURCE,))
        return Inputs(
            objects=documents.put(self.planet.store, metadata.canonical),
            input_data_hash=input_data_hash(metadata.objects),
            bundle_digest=DIGEST,
            size_bytes=1,
        )

    @activity.defn
    async def ensure_truth(self, request: EnsureTruth) -> TruthReady:
        run, lead = request.run, max(request.lead_hours)
        final = request.pass_name == "era5_final"
        if run.init_time == self.planet.lost and final:
            raise SourceGone("the archive lost it")
        if final and lead in self.planet.truthless.get(run.init_time, ()):
            raise TruthNotYetAvailable("never", retry_after=timedelta(hours=6))
        ready = run.truth_due(lead) + self.planet.late_by
        if run.init_time == self.planet.late and final and ServerClock().now() < ready:
            raise TruthNotYetAvailable("not yet", retry_after=timedelta(hours=6))
        version = "era5t" if final else "gfs_analysis"
        sets = [TruthSet(lead_hours=h, truth_version=version, truth=REF, climatology=REF) for h in request.lead_hours]
        return TruthReady(sets=tuple(sets))


class Scores(FakeScores):
    """Facts as skilful as their miner; climatology is worth 0.2 and fails the gate."""

    def __init__(self, planet: Planet, script: Script) -> None:
        super().__init__(script)
        self.planet = planet

    @activity.defn
    async def score_miners(self, request: ScoreMiners) -> PartScored:
        return self._part(request, [(m.hotkey, self.planet.skill(m.hotkey), 1.0) for m in request.miners])

    @activity.defn
    async def score_entrants(self, request: ScoreEntrants) -> PartScored:
        return self._part(request, [(BASELINE, 0.2, 0.0)])

    @activity.defn
    async def compare_miners(self, request: ScoreMiners) -> Ref:
        nobody_alike = Likeness(hotkeys=tuple(m.hotkey for m in request.miners), middle=0.0, spread=1.0, alike=())
        return documents.put_model(self.planet.store, nobody_alike)

    def _part(self, request: Scoring, worth: list[tuple[str, float, float]]) -> PartScored:
        leads = {each.lead_hours for each in request.truth.sets}
        day1 = request.pass_name == "day1_qc"
        cases = [
            case.key
            for case in self.planet.cases
            if (case.key.variable == GATE if day1 else case.key.variable != GATE and case.key.lead_time_hours in leads)
        ]
        facts = [_fact(request, hotkey, key, gate if day1 else score) for hotkey, score, gate in worth for key in cases]
        part = documents.put_model(self.planet.store, documents.Part(facts=tuple(facts), faults=()))
        return PartScored(part=part, facts=len(facts), faults=0)


def key_of(number: int) -> PrivateKey:
    """The key of the miner of that number."""
    return PrivateKey.from_bytes((number + 1).to_bytes(2, "little") * 16)


def _fact(request: Scoring, hotkey: str, key: Any, score: float) -> ScoreFact:
    run = request.run
    return ScoreFact(
        run_id=run.run_id,
        hotkey=hotkey,
        pass_=key.pass_,
        lead_hours=key.lead_time_hours,
        variable=key.variable,
        level=key.level,
        region=key.region,
        spec_digest=run.score_spec_digest,
        truth_version=request.truth.sets[0].truth_version,
        generation=request.generation,
        kind=run.purpose,
        valid_time=run.valid_time(key.lead_time_hours),
        forecast_digest=hotkey[-8:].rjust(64, "0") if hotkey != BASELINE else "1" * 64,
        truth_digest=DIGEST,
        climatology_digest=DIGEST,
        sums={},
        score=score,
        kernel_order="four-rows/1",
        package_version="0",
        scored_at=ServerClock().now(),
    )
