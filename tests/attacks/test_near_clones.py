"""Copies with noise, scaled and rolled are found in the third run; real bytes through the activities (row 7)."""

from __future__ import annotations

from pathlib import Path

from activities import documents
from activities.messages.base import Ref
from activities.messages.run import CampaignRef, ForecastRunInput, Step
from activities.messages.scoring import ChunkMiner, FinishPass, ScoreMiners, StartPass, TruthReady, TruthSet
from activities.scorer import FieldScorer
from adapters.catalog import Catalog
from adapters.chunk_decoder import ChunkDecoder, FetchedChunk
from adapters.forecast_reader import FetchedObjects
from adapters.ledger.commitments import record_commitment
from adapters.ledger.engine import Ledger, upgrade
from adapters.ledger.facts import faults_of
from adapters.ledger.values import ReceivedCommitment
from adapters.object_store import ObjectStore
from protocol.commitment import Commitment
from tests.activities.validator.world import VALIDATOR, Opened, Validator, do
from tests.attacks.forecasts import NEAR_COPIES
from tests.attacks.honest import Miner
from tests.attacks.world import SEED, World
from weather.field_sets import Kind, field_set_document
from weather.planet.planet import Planet, Weather

PLANET = Planet(SEED)
HONEST = [f"honest-{number}" for number in range(1, 6)]
LEADS = (6, 12)


def cast(world: World) -> list[Miner]:
    return [Miner(world, name) for name in HONEST] + [copy(world, copy.__name__) for copy in NEAR_COPIES]


def truth_set(validator: Validator, world: World, lead: int) -> TruthSet:
    def keep(kind: Kind, weather: Weather) -> Ref:
        rules = validator.catalog.rules("attacked")
        fields = [weather.field(*each, rules.grid_value) for each in rules.day1_fields]
        for field in fields:
            validator.store.put_field(field)
        return documents.put(validator.store, field_set_document(kind, "planet", "attacked", fields))

    return TruthSet(
        lead_hours=lead,
        truth_version="gfs_analysis",
        truth=keep("truth", PLANET.gfs_analysis(world.valid_time(lead))),
        climatology=keep("climatology", PLANET.climatology(world.valid_time(lead))),
        references=(keep("forecast", PLANET.gfs_forecast(world.init_time, lead)),),
    )


def commit(validator: Validator, opened: Opened, miner: Miner) -> ChunkMiner:
    """A commitment, and the day-1 chunks behind it."""
    miner.call = documents.call(validator.store, opened.call.sha256)
    value = miner.commitment_value()
    commitment, deadline = Commitment.of_value(value), miner.call.commit_deadline
    received = ReceivedCommitment(
        commitment=commitment, signature=miner.signature(value), received_at=deadline, channel="pull"
    )
    with validator.ledger.begin() as session:
        record_commitment(session, VALIDATOR, received)
    chunks = tuple(
        FetchedChunk(
            variable=variable,
            level=level,
            lead_hours=lead,
            sha256=validator.store.put(miner.chunks[miner.layout.chunk_path(variable, level, lead)]),
            codec="pcodec",
        )
        for lead in LEADS
        for variable, level in validator.catalog.rules("attacked").day1_fields
    )
    objects = documents.put_model(validator.store, FetchedObjects(chunks=chunks, faults=()))
    return ChunkMiner(hotkey=miner.key.hotkey, objects=objects)


def play(validator: Validator, world: World, decoder: ChunkDecoder) -> dict[str, str]:
    """Day 1 of a run; answers the codes by miner."""
    opened = validator.open(ForecastRunInput(init_time=world.init_time, campaign=CampaignRef(name="attacks")))
    miners = cast(world)
    chunk = tuple(commit(validator, opened, miner) for miner in miners)
    run_id, at = opened.run.run_id, opened.run.close_by
    job = {"pass_name": "day1_qc", "lead_hours": 0, "generation": 1, "at": at}
    do(validator.runs.seal_run, Step(run_id=run_id, at=at))
    for to in ("queued", "in_progress"):
        do(validator.scores.start_pass, StartPass.model_validate({"run_id": run_id, "to": to} | job))
    truth = TruthReady(sets=tuple(truth_set(validator, world, lead) for lead in LEADS))
    scorer = FieldScorer(validator.store, validator.catalog, decoder, validator.clock)
    asked = ScoreMiners(run=opened.run, pass_name="day1_qc", generation=1, truth=truth, miners=chunk)
    likeness = do(scorer.compare_miners, asked)
    for _ in range(2):
        do(validator.scores.finish_pass, FinishPass.model_validate({"run": opened.run, "likeness": likeness} | job))
    names = {miner.key.hotkey: miner.name for miner in miners}
    with validator.ledger.read() as session:
        faults = faults_of(session, run_id)
    assert all(fault.costs_the_run for fault in faults)
    return {names[fault.hotkey]: fault.code for fault in faults}


def test_a_near_copy_loses_its_run_when_three_runs_prove_it_and_its_owner_nothing(tmp_path: Path) -> None:
    worlds = [World(tmp_path / f"{day}", days_later=day) for day in range(3)]
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    upgrade(url)
    with Ledger(url) as ledger, ChunkDecoder(store := ObjectStore(tmp_path / "objects")) as decoder:
        keys = tuple(miner.key for miner in cast(worlds[0]))
        validator = Validator(ledger, store, Catalog(worlds[0].grids), miners=keys)
        validator = validator.with_defaults(grid="attacked", hotkeys_per_address=None)
        found = [play(validator, world, decoder) for world in worlds]
    assert found == [{}, {}, {copy.__name__: "NearClone" for copy in NEAR_COPIES}]
