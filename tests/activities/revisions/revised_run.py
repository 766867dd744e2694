"""A closed live run of the planet whose preliminary truth was wrong in one box, and the archive that has the final one.

CAROL lacks a case of the wrong field's lead, as she lacks others; the baseline was scored too.
"""

from __future__ import annotations

import json
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import select
from temporalio.testing import ActivityEnvironment

from activities import documents
from activities.messages.base import PassName, Ref
from activities.messages.revisions import (
    FindRevisions,
    LeadRevised,
    RecordRevision,
    RescoreFields,
    RevisionInput,
    RevisionPlanned,
    ValidTimes,
)
from activities.messages.run import AdvanceRun, CloseRun, Step
from activities.messages.scoring import (
    EnsureTruth,
    FinishPass,
    RecordScores,
    ScoreEntrants,
    Scoring,
    StartPass,
    TruthReady,
    TruthSet,
)
from activities.revisions import LedgerRevisions
from activities.scorer import FieldScorer
from activities.sources import Archives, ArchiveSources
from adapters.catalog import Catalog
from adapters.chunk_decoder import ChunkDecoder
from adapters.forecast_reader import wanted_chunks
from adapters.ledger import facts
from adapters.ledger.engine import Ledger, upgrade
from adapters.ledger.tables.runs import MinerResponseRow
from adapters.ledger.tables.scores import TruthRevisionRow
from adapters.ledger.values import ScoreFact
from adapters.object_store import ObjectStore
from protocol.canonical import load_json_strict
from protocol.manifest import Manifest
from tests.activities.dossiers.judged_run import DAY1, FINAL, GRID, HOLE, commit, score, truth_set, voided
from tests.activities.validator.world import ALICE, BOB, CAROL, LIVE, T0, Opened, Validator, do
from tests.activities.weights.scene import FIRST, closed_at
from tests.fixed_clock import FixedClock
from weather.planet.planet import Offset, Planet

LEAD = 24
BOX = Offset("2t", 0, T0 + timedelta(hours=LEAD), T0 + timedelta(hours=LEAD), (0.0, 50.0), (0.0, 90.0), 3.0)
PLANET = Planet(7, (BOX,))
KEYS = (ALICE, BOB, CAROL)
LATER = T0 + timedelta(days=90)
NOTHING: Any = None


@dataclass
class Revised:
    """The validator after the close, and the steps of a revision as the workflow takes them."""

    validator: Validator
    archive: str
    opened: Opened

    @property
    def records(self) -> LedgerRevisions:
        return LedgerRevisions(self.validator.ledger, self.validator.store, self.validator.catalog)

    @property
    def sources(self) -> ArchiveSources:
        urls = (f"{self.archive}/era5", f"{self.archive}/climatology")
        archives = Archives(NOTHING, NOTHING, *urls, timedelta(hours=6))
        return ArchiveSources(archives, self.validator.store, self.validator.catalog)

    def found(self, at: Any = LATER) -> tuple[Any, ...]:
        return do(self.records.find_revisions, FindRevisions(at=at)).valid_times

    def leads(self, lead: int) -> tuple[EnsureTruth, ...]:
        return do(self.records.open_revision, RevisionInput(valid_time=T0 + timedelta(hours=lead))).leads

    async def published(self, *valid_times: Any) -> tuple[Any, ...]:
        asked = ValidTimes(valid_times=valid_times)
        return (await ActivityEnvironment().run(self.sources.published_truth, asked)).valid_times

    async def truth(self, lead: int, now: Any = LATER) -> TruthSet:
        async with httpx.AsyncClient(trust_env=False) as client:
            (await client.post(f"{self.archive}/now", json={"now": now.isoformat()})).raise_for_status()
        request = EnsureTruth(run=self.opened.run, pass_name="era5_final", lead_hours=(lead,), truth_version="era5")
        return (await ActivityEnvironment().run(self.sources.ensure_truth, request)).sets[0]

    def scoring(self, truth: TruthSet) -> dict[str, Any]:
        ready = TruthReady(sets=(truth,))
        return {"run": self.opened.run, "pass_name": "era5_final", "generation": 1, "truth": ready}

    def plan(self, truth: TruthSet) -> RevisionPlanned:
        return do(self.records.plan_revision, Scoring(**self.scoring(truth)))

    def rescore(self, truth: TruthSet, plan: Ref, decoder: type[ChunkDecoder] = ChunkDecoder) -> Ref:
        return with_scorer(self.validator, "rescore_fields", RescoreFields(**self.scoring(truth), plan=plan), decoder)

    async def revise(self, lead: int, decoder: type[ChunkDecoder] = ChunkDecoder) -> LeadRevised:
        truth = await self.truth(lead)
        planned = self.plan(truth)
        rescored = self.rescore(truth, planned.plan, decoder) if planned.plan else None
        told = {"confirmed": planned.confirmed, "rescored": rescored}
        request = RecordRevision(**self.scoring(truth), **told, at=LATER)
        first = do(self.records.record_revision, request)
        assert do(self.records.record_revision, request) == first
        return first

    def facts(self) -> list[ScoreFact]:
        with self.validator.ledger.read() as session:
            return facts.newest_facts(session, self.opened.run.run_id)

    def row(self, lead: int) -> TruthRevisionRow:
        with self.validator.ledger.read() as session:
            return session.scalars(select(TruthRevisionRow).filter_by(lead_hours=lead)).one()

    def report(self, revised: LeadRevised) -> dict[str, Any]:
        return load_json_strict(self.validator.store.get(revised.report), 10**6)


def with_scorer(validator: Validator, name: str, request: Any, kind: type[ChunkDecoder] = ChunkDecoder) -> Any:
    """One activity of the scorer."""
    with kind(validator.store) as decoder:
        scorer = FieldScorer(validator.store, validator.catalog, decoder, FixedClock(LATER))
        return do(getattr(scorer, name), request)


@contextmanager
def opened_again(folder: Path, archive: str) -> Generator[Revised]:
    """What `play` left in a folder."""
    with Ledger(f"sqlite:///{folder / 'ledger.db'}") as ledger:
        validator = validator_of(folder, ledger)
        yield Revised(validator, archive, validator.open(LIVE))


def validator_of(folder: Path, ledger: Ledger) -> Validator:
    catalog = Catalog(folder / "grids")
    validator = Validator(ledger, ObjectStore(folder / "objects"), catalog, miners=KEYS)
    return validator.with_defaults(grid=GRID, hotkeys_per_address=None)


def play(folder: Path, *, close: bool = True) -> None:
    """Open, commit, seal, score and close."""
    upgrade(f"sqlite:///{folder / 'ledger.db'}")
    with Ledger(f"sqlite:///{folder / 'ledger.db'}") as ledger:
        validator = validator_of(folder, ledger)
        opened = validator.open(LIVE)
        stores = {key.hotkey: commit(validator, opened, key) for key in KEYS}
        run_id, at = opened.run.run_id, opened.window.commit_deadline + timedelta(minutes=2)
        do(validator.runs.seal_run, Step(run_id=run_id, at=at))
        for to in ("initial_scoring_running", "initial_scoring_done", "final_scoring_triggered"):
            do(validator.runs.advance_run, AdvanceRun(run_id=run_id, to=to, reason="", at=at))
        score(validator, opened, "day1_qc", DAY1, stores)
        baseline(validator, opened, "day1_qc", DAY1)
        for lead in FINAL:
            final_pass(validator, opened, lead, stores)
        validator.record(voided(run_id, at, HOLE, "SourceCorrupt"))
        if close:
            do(validator.runs.close_run, CloseRun(run_id=run_id, at=closed_at(FIRST)))


def final_pass(validator: Validator, opened: Opened, lead: int, stores: Any) -> None:
    """With its job and the baseline, against the preliminary truth."""
    at, run = T0 + timedelta(days=7), opened.run
    step = {"run_id": run.run_id, "pass_name": "era5_final", "lead_hours": lead, "generation": 1, "at": at}
    for to in ("queued", "in_progress"):
        do(validator.scores.start_pass, StartPass.model_validate(step | {"to": to}))
    score(validator, opened, "era5_final", (lead,), stores, PLANET)
    baseline(validator, opened, "era5_final", (lead,))
    ended = {"run": run, "pass_name": "era5_final", "lead_hours": lead, "generation": 1, "at": at}
    do(validator.scores.finish_pass, FinishPass.model_validate(ended))


def baseline(validator: Validator, opened: Opened, name: PassName, leads: tuple[int, ...]) -> None:
    """Our own forecasts in one pass."""
    truth = TruthReady(sets=tuple(truth_set(validator, name, lead, PLANET) for lead in leads))
    asked = ScoreEntrants(run=opened.run, pass_name=name, generation=1, truth=truth)
    part = with_scorer(validator, "score_entrants", asked)
    do(validator.scores.record_scores, RecordScores(run_id=opened.run.run_id, part=part.part))


def forget(revised: Revised, hotkey: str, variable: str, lead: int, *, metadata: bool = False) -> None:
    """The bytes of one chunk are gone, or the metadata of its array."""
    store, layout = revised.validator.store, revised.validator.catalog.layout(GRID)
    with revised.validator.ledger.read() as session:
        verified = session.get_one(MinerResponseRow, (revised.opened.run.run_id, hotkey)).manifest_digest or ""
    manifest = documents.get_model(store, documents.VerifiedStore, verified).manifest.sha256
    (one,) = wanted_chunks(store, layout, manifest, [(variable, 0)], lead)
    gone = one.chunk.sha256
    if metadata:
        gone = Manifest.of_value(json.loads(store.get(manifest))).entry(f"{variable}/zarr.json").sha256
    assert store.delete(f"bytes/{gone}", datetime.max.replace(tzinfo=UTC))
