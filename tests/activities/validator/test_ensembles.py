"""The ensemble by what the ledger knew at the commit deadline, built of verified bytes and written once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest
from sqlalchemy import select

from activities import documents
from activities.entrants import EnsembleWeights
from activities.messages.base import FaultNote
from activities.messages.scoring import (
    BuildEnsemble,
    ChunkMiner,
    EnsembleBuilt,
    MembersWeighed,
    RecordEnsemble,
    Scoring,
)
from activities.score_records import LedgerScoreRecords
from adapters.chunk_decoder import ChunkDecoder
from adapters.ledger import facts, runs
from adapters.ledger.commitments import record_commitment
from adapters.ledger.tables.runs import ForecastRunRow
from adapters.ledger.tables.scores import EnsembleComponentRow, EnsembleForecastRow
from adapters.ledger.tables.weights import HistoricalWeightRow
from adapters.ledger.values import Closing, ReceivedCommitment
from protocol import names
from protocol.commitment import Commitment
from protocol.identity import PrivateKey
from tests.activities.validator.forecasts import LAYOUT, RULES, RUN, Desk, fields_of, skilful
from tests.activities.validator.test_score_records import fact as some_fact
from tests.activities.validator.world import ALICE, BOB, CAROL, T0, VALIDATOR, Opened, Validator, do
from weather.faults import LedgerConflict

LEAD, NOW = 48, T0 + timedelta(days=8)
TO_THE_END = ("initial_scoring_queued", "initial_scoring_skipped", "final_scoring_triggered", "final_scoring_completed")
MINERS = ((ALICE, 0.25), (BOB, 0.5), (CAROL, 1.0))
GOLDEN = (0.452380952381, 0.309523809524, 0.238095238095)


# long: the columns of a fact
def past_run(validator: Validator, opened: Opened, number: int, closed_at: datetime, errors: Any = MINERS) -> None:
    """A closed round, `number` cycles before, in which miners erred as they are said to."""
    init_time = T0 - timedelta(hours=6 * number)
    run_id = names.run_id(init_time)
    closing = Closing(
        outcome="closed", reason="complete", coverage="1/1", facts_digest="", faults_digest="", closed_at=closed_at
    )
    with validator.ledger.begin() as session:
        this = runs.changed_run(session, opened.run.run_id)
        names_ = (*runs.IDENTITY, "close_by", "opened_at", "config")
        new = {name: getattr(this, name) for name in names_} | {"run_id": run_id, "init_time": init_time}
        runs.open_run(session, ForecastRunRow(**new))
        for to in TO_THE_END:
            runs.advance_run(session, run_id, to, "", closed_at)
        runs.close_run(session, run_id, closing)
    facts = [
        some_fact(
            opened,
            run_id=run_id,
            hotkey=key.hotkey,
            lead_hours=LEAD,
            variable=variable,
            level=level,
            sums={"D2": error, "Q2": 1.0},
            scored_at=closed_at,
        )
        for key, error in errors
        for variable, level in RULES.final_fields
    ]
    validator.record(*facts)


@dataclass
class Competition:
    """A run whose three miners are scored at one lead, after twenty rounds."""

    validator: Validator
    opened: Opened
    desk: Desk
    scoring: Scoring
    miners: tuple[ChunkMiner, ...]

    @property
    def records(self) -> LedgerScoreRecords:
        return LedgerScoreRecords(self.validator.ledger, self.validator.store, self.validator.catalog)

    def weigh(self) -> MembersWeighed:
        return do(self.records.weigh_members, self.scoring)

    def build(self, weighed: MembersWeighed) -> EnsembleBuilt:
        assert weighed.weights is not None
        asked = BuildEnsemble(**dict(self.scoring), weights=weighed.weights, members=self.miners)
        return do(self.desk.scorer.build_ensemble, asked)

    def record(self, weighed: MembersWeighed, built: EnsembleBuilt | None, lost: FaultNote | None = None) -> None:
        assert weighed.weights is not None
        asked = RecordEnsemble(**dict(self.scoring), weights=weighed.weights, built=built, fault=lost, at=NOW)
        do(self.records.record_ensemble, asked)


@pytest.fixture
def competition(validator: Validator) -> Iterator[Competition]:
    validator.miners = (ALICE, BOB, CAROL)
    opened = validator.open()
    for key, _ in MINERS:
        commit(opened, validator, key)
    for number in range(1, 21):
        past_run(validator, opened, number, opened.window.commit_deadline - timedelta(seconds=1))
    with ChunkDecoder(validator.store) as decoder:
        desk = Desk(validator.store, decoder)
        forecasts = {key.hotkey: skilful(key.hotkey) for key, _ in MINERS}
        objects = {who: desk.objects(forecast, [LEAD], RULES.final_fields) for who, forecast in forecasts.items()}
        truth = desk.final_truth(LEAD, RULES.final_fields)
        request = desk.request("era5_final", truth, objects).model_copy(update={"run": opened.run})
        validator.record(*desk.part(request).facts)
        scoring = Scoring(run=opened.run, pass_name="era5_final", generation=1, truth=truth)
        yield Competition(validator, opened, desk, scoring, request.miners)


def commit(opened: Opened, validator: Validator, key: PrivateKey) -> None:
    offer = opened.offer(key)
    received = ReceivedCommitment(
        commitment=Commitment.parse(offer.commitment),
        signature=offer.signature,
        received_at=opened.window.commit_deadline,
        channel="push",
    )
    with validator.ledger.begin() as session:
        record_commitment(session, VALIDATOR, received)


# long: one story from members to rows
def test_the_ensemble_is_the_mean_by_the_golden_weights_scored_and_written_once(competition: Competition) -> None:
    weighed = competition.weigh()
    built = competition.build(weighed)
    for _ in range(2):
        competition.record(weighed, built)
    errors = {key.hotkey: error for key, error in MINERS}
    by_hotkey = dict(zip(errors, GOLDEN, strict=True))
    expected = sum(
        by_hotkey[hotkey] * fields_of(skilful(hotkey)(LEAD), [("z", 500)])[0].values.astype(np.float64)
        for hotkey in sorted(by_hotkey)
    )
    with competition.validator.ledger.read() as session:
        recorded = facts.facts_of(session, competition.opened.run.run_id)
        own = {(one.variable, one.level): one for one in recorded if one.hotkey == "baseline/ensemble"}
        (row,) = session.scalars(select(EnsembleForecastRow)).all()
        weights = session.scalars(select(EnsembleComponentRow).where(EnsembleComponentRow.variable == "z")).all()
        past = session.scalars(select(HistoricalWeightRow).filter_by(score_type=f"ensemble/z/{LEAD}h")).all()
    assert (row.status, row.code, row.weights_digest) == ("built", None, weighed.weights and weighed.weights.sha256)
    assert row.fields_digest == built.fields.sha256 and len(own) == built.facts == 19
    stored = competition.validator.store.get_field(
        LAYOUT.grid_value, "z", 500, RUN.valid_time(LEAD), own["z", 500].forecast_digest
    )
    assert np.abs(stored.values - expected).max() <= 0.01
    assert {one.hotkey: one.weight for one in weights} == pytest.approx(by_hotkey, abs=1e-12)
    assert {one.miner_hotkey: (one.score, one.weight) for one in past} == {
        one.hotkey: (errors[one.hotkey], one.weight) for one in weights
    }


def test_what_was_closed_or_scored_after_the_deadline_changes_nothing(competition: Competition) -> None:
    before, deadline = competition.weigh(), competition.opened.window.commit_deadline
    assert before.weights is not None
    members = documents.get_model(competition.validator.store, EnsembleWeights, before.weights.sha256).members
    assert {lead: set(by_name) for lead, by_name in members.items()} == {LEAD: {name for name, _ in RULES.final_fields}}
    past_run(competition.validator, competition.opened, 21, deadline, [(ALICE, 9.0), (BOB, 9.0), (CAROL, 0.0)])
    run_id = names.run_id(T0 - timedelta(hours=6))
    revised = some_fact(
        competition.opened,
        run_id=run_id,
        lead_hours=LEAD,
        truth_version="era5",
        sums={"D2": 9.0, "Q2": 1.0},
        scored_at=deadline,
    )
    competition.validator.record(revised)
    assert competition.weigh() == before
    again = competition.scoring.model_copy(update={"generation": 2})
    assert do(competition.records.weigh_members, again) == MembersWeighed()


def test_an_ensemble_that_failed_is_written_down_with_its_code(competition: Competition) -> None:
    weighed = competition.weigh()
    competition.record(weighed, None, FaultNote(code="OutOfMemory", cause="platform"))
    with competition.validator.ledger.read() as session:
        (row,) = session.scalars(select(EnsembleForecastRow)).all()
        assert (row.status, row.code, row.fields_digest) == ("failed", "OutOfMemory", None)
        assert len(session.scalars(select(EnsembleComponentRow)).all()) == 3 * 9
    with pytest.raises(LedgerConflict):
        competition.record(weighed, competition.build(weighed))
