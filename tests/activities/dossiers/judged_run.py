"""A closed hindcast of the planet on a tiny grid, played by the real activities without Temporal.

Each miner shows one ending: whole, refused by day 1, broken chunks, a copy, late, declined. One case was voided and
scored again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib import resources
from pathlib import Path

import numpy as np
import zstandard
from pcodec import ChunkConfig, standalone  # ty: ignore[missing-module-member] - compiled, without stubs

from activities import documents
from activities.messages.base import FaultNote, PassName, Ref
from activities.messages.miner import RecordCommitment, SettleMiner
from activities.messages.run import AdvanceRun, CampaignRef, CloseRun, Step
from activities.messages.scoring import ChunkMiner, RecordScores, ScoreMiners, TruthReady, TruthSet
from activities.scorer import FieldScorer
from adapters.catalog import Catalog
from adapters.chunk_decoder import ChunkDecoder, FetchedChunk
from adapters.forecast_reader import FetchedObjects, ObjectFault, VerifiedManifest
from adapters.ledger.engine import Ledger, upgrade
from adapters.ledger.facts import facts_of
from adapters.ledger.values import FaultRecord, ScoreFact
from adapters.object_store import ObjectStore
from protocol.commitment import Commitment
from protocol.identity import PrivateKey
from protocol.layout import Layout
from protocol.manifest import Manifest
from protocol.messages import CommitmentData, StoreIdentity
from protocol.store import Codec, array_metadata, coordinate_chunks, root_metadata
from tests.activities.validator.world import ALICE, BOB, CAROL, HINDCAST, T0, Opened, Validator, do
from weather.faults import tree
from weather.field_sets import Kind, field_set_document
from weather.fields import Field
from weather.grids import Grid
from weather.planet.planet import Planet, Weather

GRID, LEADS, FINAL, DAY1, LEVEL = "tiny", (6, 12, 18, 24), (18, 24), (6, 12), 500
DAVE, EVE, FRANK = (PrivateKey.from_bytes(bytes([seed]) * 32) for seed in (14, 15, 16))
CODECS: dict[str, Codec] = {CAROL.hotkey: "zstd"}
PLANET = Planet(7)
HOLE = ("10u", 18)
RERUN = ("10v", 24)
DECLINED = FaultNote(code="HindcastDeclined", cause="policy", detail="no time")
LATE = FaultNote(code="CommitmentLate", cause="policy", detail="after the deadline")
Store = dict[str, bytes]


@dataclass(frozen=True)
class JudgedRun:
    """Where the run is, and under which id."""

    ledger_url: str
    objects: ObjectStore
    grids: Path
    run_id: str

    @property
    def catalog(self) -> Catalog:
        return Catalog(self.grids)

    def open_run(self) -> str:
        """Another run, that waits for its miners."""
        with Ledger(self.ledger_url) as ledger:
            validator = Validator(ledger, self.objects, self.catalog).with_defaults(grid=GRID)
            return validator.open(HINDCAST.model_copy(update={"campaign": CampaignRef(name="other")})).run.run_id


def play(folder: Path) -> JudgedRun:
    """Open, commit, seal, score and close."""
    url, objects = f"sqlite:///{folder / 'ledger.db'}", ObjectStore(folder / "objects")
    upgrade(url)
    with Ledger(url) as ledger:
        catalog = Catalog(write_grid(folder / "grids"))
        keys = (ALICE, BOB, CAROL, DAVE, EVE)
        validator = Validator(ledger, objects, catalog, miners=(*keys, FRANK)).with_defaults(
            grid=GRID, hotkeys_per_address=None
        )
        opened = validator.open(HINDCAST)
        stores = {key.hotkey: commit(validator, opened, key) for key in keys}
        run_id, at = opened.run.run_id, opened.window.commit_deadline + timedelta(minutes=2)
        declined = {"run_id": run_id, "hotkey": FRANK.hotkey, "at": at, "fault": DECLINED}
        do(validator.responses.settle_miner, SettleMiner.model_validate(declined))
        do(validator.runs.seal_run, Step(run_id=run_id, at=at))
        for to in ("initial_scoring_skipped", "final_scoring_triggered"):
            do(validator.runs.advance_run, AdvanceRun(run_id=run_id, to=to, reason="", at=at))
        score(validator, opened, "day1_qc", DAY1, stores)
        for lead in FINAL:
            score(validator, opened, "era5_final", (lead,), stores)
        validator.record(voided(run_id, at, HOLE, "SourceCorrupt"), voided(run_id, at, RERUN, "VoidedByOperator"))
        validator.record(*rerun(ledger, run_id))
        do(validator.runs.close_run, CloseRun(run_id=run_id, at=at))
    return JudgedRun(url, objects, folder / "grids", run_id)


def voided(run_id: str, at: datetime, case: tuple[str, int], code: str) -> FaultRecord:
    """A case that is void for all."""
    scope = {"pass_": "era5_final", "variable": case[0], "lead_hours": case[1], "level": 0}
    values = {"run_id": run_id, "code": code, "cause": tree()[code].cause, "effect": "V", "recorded_at": at, **scope}
    return FaultRecord.model_validate(values)


def rerun(ledger: Ledger, run_id: str) -> list[ScoreFact]:
    """The voided case, scored again."""
    with ledger.read() as session:
        facts = facts_of(session, run_id)
    again = [fact for fact in facts if (fact.variable, fact.lead_hours) == RERUN]
    return [fact.model_copy(update={"generation": 2}) for fact in again]


def write_grid(folder: Path) -> Path:
    """8 x 16 points, one level, four leads, two of them scored."""
    folder.mkdir()
    layout = json.loads((resources.files("protocol") / "layouts" / "5p625-small.json").read_bytes())
    rules = json.loads((resources.files("weather") / "rules" / "5p625-small.json").read_bytes())
    points = {"latitude_first": 78_750_000, "latitude_step": -22_500_000, "latitude_count": 8}
    points |= {"longitude_first": 0, "longitude_step": 22_500_000, "longitude_count": 16}
    layout |= {"grid": GRID, "lead_time_hours": LEADS, "level_hectopascal": [LEVEL], "microdegrees": points}
    weights = Grid(GRID, **points).weights_sha256
    rules["grid"] = {"name": GRID, "microdegrees": points, "weights_sha256": weights}
    rules["era5_final"]["groups"] = [{"lead_time_hours": FINAL, "name": "day-1", "weight": 1}]
    for field in rules["era5_final"]["fields"]:
        if field["levels"] != [0]:
            field |= {"levels": [LEVEL], "weights": [1900]}
    for kind, document in (("layout", layout), ("rules", rules)):
        (folder / f"{GRID}.{kind}.json").write_text(json.dumps(document))
    return folder


def forecast(key: PrivateKey, lead: int) -> Weather:
    """Skilful, but BOB's climatology and EVE's copy."""
    if key is BOB:
        return PLANET.climatology(T0 + timedelta(hours=lead))
    return PLANET.gfs_forecast(T0, lead) if key is EVE else PLANET.miner_forecast(key.hotkey, 1.4, T0, lead)


def commit(validator: Validator, opened: Opened, key: PrivateKey) -> Store:
    """The store of a miner, its commitment in the ledger, its manifest verified unless it is late."""
    layout, call = validator.catalog.layout(GRID), documents.call(validator.store, opened.call.sha256)
    store = built(layout, key, call.identity(key.hotkey))
    listed = [(path, len(body), hashlib.sha256(body).hexdigest()) for path, body in store.items()]
    manifest = Manifest.build(call.identity(key.hotkey).job_id, listed)
    commitment = Commitment(
        **call.identity(key.hotkey).model_dump(),
        score_spec_digest=call.score_spec_digest,
        input_data_hash=call.input_data_hash,
        root=manifest.root,
        object_count=manifest.object_count,
        total_bytes=manifest.total_bytes,
        salt="4" * 64,
    )
    offer = CommitmentData(commitment=commitment.value, signature=commitment.sign(key))
    received_at = call.commit_deadline + timedelta(seconds=1 if key is DAVE else -1)
    ref = documents.put(validator.store, offer.canonical)
    pulled = {"run_id": call.run_id, "hotkey": key.hotkey, "commitment": ref, "received_at": received_at}
    do(validator.responses.record_commitment, RecordCommitment.model_validate(pulled))
    settled = {"fault": LATE} if key is DAVE else {"store": verified(validator, commitment, manifest)}
    ended = {"run_id": call.run_id, "hotkey": key.hotkey, "at": received_at, **settled}
    do(validator.responses.settle_miner, SettleMiner.model_validate(ended))
    return store


def verified(validator: Validator, commitment: Commitment, manifest: Manifest) -> Ref:
    kept = documents.put(validator.store, manifest.canonical)
    bound = VerifiedManifest(sha256=kept.sha256, size_bytes=kept.size_bytes)
    return documents.put_model(validator.store, documents.VerifiedStore(commitment=commitment, manifest=bound))


def built(layout: Layout, key: PrivateKey, identity: StoreIdentity) -> Store:
    """All objects; of CAROL's chunks one has a hole and one is garbage."""
    codec = CODECS.get(key.hotkey, "pcodec")
    store = {f"{name}/zarr.json": array_metadata(layout, name, codec) for name in layout.array_names()}
    store |= {"zarr.json": root_metadata(identity), **coordinate_chunks(layout, T0)}
    for lead in LEADS:
        weather = forecast(key, lead)
        for variable, level in layout.fields():
            values = np.array(weather.field(variable, level, layout.grid_value).values)
            if (key, variable, lead) == (CAROL, "2t", 6):
                values[0, 0] = np.nan
            store[layout.chunk_path(variable, level, lead)] = encoded(values, codec)
    if key is CAROL:
        store[layout.chunk_path("t", LEVEL, 24)] = zstandard.compress(bytes(layout.raw_bytes))[:-3]
    return store


def encoded(values: np.ndarray, codec: Codec) -> bytes:
    if codec == "zstd":
        return zstandard.ZstdCompressor().compress(values.astype("<f4").tobytes())
    return standalone.simple_compress(values.ravel(), ChunkConfig(compression_level=8))


def score(
    validator: Validator,
    opened: Opened,
    name: PassName,
    leads: tuple[int, ...],
    stores: dict[str, Store],
    planet: Planet = PLANET,
) -> None:
    """One pass over all miners that were in time."""
    objects = {hotkey: fetched(validator, name, leads, hotkey, stores[hotkey]) for hotkey in stores}
    request = ScoreMiners(
        run=opened.run,
        pass_name=name,
        generation=1,
        truth=TruthReady(sets=tuple(truth_set(validator, name, lead, planet) for lead in leads)),
        miners=tuple(ChunkMiner(hotkey=each, objects=objects[each]) for each in objects if each != DAVE.hotkey),
    )
    with ChunkDecoder(validator.store) as decoder:
        scorer = FieldScorer(validator.store, validator.catalog, decoder, validator.clock)
        part = do(scorer.score_miners, request)
    do(validator.scores.record_scores, RecordScores(run_id=opened.run.run_id, part=part.part))


def fetched(validator: Validator, name: PassName, leads: tuple[int, ...], hotkey: str, store: Store) -> Ref:
    """Chunks of the pass; CAROL no longer serves one of them."""
    layout, chunks, faults = validator.catalog.layout(GRID), [], []
    for path in [path for path in store if path.endswith("zarr.json")]:
        validator.store.put(store[path])
    for lead in leads:
        for variable, level in scored_fields(validator, name):
            case = {"variable": variable, "level": level, "lead_hours": lead}
            if (variable, lead) == HOLE:
                continue
            if (hotkey, variable, lead) in ((CAROL.hotkey, "msl", 12), (CAROL.hotkey, "msl", 18)):
                faults.append(ObjectFault(**case, code="ObjectAbsent", detail="404", found=None, expected=None))
                continue
            sha256 = validator.store.put(store[layout.chunk_path(variable, level, lead)])
            chunks.append(FetchedChunk(**case, sha256=sha256, codec=CODECS.get(hotkey, "pcodec")))
    return documents.put_model(validator.store, FetchedObjects(chunks=tuple(chunks), faults=tuple(faults)))


def scored_fields(validator: Validator, name: PassName) -> Iterable[tuple[str, int]]:
    rules = validator.catalog.rules(GRID)
    return rules.day1_fields if name == "day1_qc" else rules.final_fields


def truth_set(validator: Validator, name: PassName, lead: int, planet: Planet = PLANET) -> TruthSet:
    """What ArchiveSources would keep."""
    valid_time, version = T0 + timedelta(hours=lead), "gfs_analysis" if name == "day1_qc" else "era5t"
    truth: Callable[[datetime], Weather] = planet.gfs_analysis if name == "day1_qc" else planet.era5t
    references = [PLANET.gfs_forecast(T0, lead), PLANET.gfs_forecast(T0 - timedelta(hours=6), lead + 6)]

    def keep(kind: Kind, of: str, weather: Weather) -> Ref:
        grid = validator.catalog.layout(GRID).grid_value
        fields: list[Field] = [weather.field(*each, grid) for each in scored_fields(validator, name)]
        for field in fields:
            validator.store.put_field(field)
        return documents.put(validator.store, field_set_document(kind, of, GRID, fields))

    return TruthSet(
        lead_hours=lead,
        truth_version=version,
        truth=keep("truth", version, truth(valid_time)),
        climatology=keep("climatology", "planet-1", PLANET.climatology(valid_time)),
        references=tuple(keep("forecast", "gfs", each) for each in references) if name == "day1_qc" else (),
    )
