"""Leads that wait for a newer truth, and scores by the truth that came last."""

from __future__ import annotations

from datetime import timedelta
from fractions import Fraction
from typing import Any

from sqlalchemy.orm import Session

from adapters.ledger.engine import Ledger
from adapters.ledger.jobs import advance_job
from adapters.ledger.revisions import ScoredLead, unrevised
from adapters.ledger.runs import advance_run, close_run
from adapters.ledger.tables.scores import TruthRevisionRow
from adapters.ledger.values import JobStep
from adapters.ledger.weights import frozen_rounds, latest
from protocol.weights import CountedRound, WeightInputs
from tests.activities.ledger.builders import MINER, RUN, T0, closing, prepare
from weather.weights.policies import Proportional
from weather.weights.window import RoundState

NOW, WEEK = T0 + timedelta(days=30), timedelta(days=7)


def scored(session: Session, lead_hours: int, last: str = "completed") -> None:
    for to in ("queued", "in_progress", last):
        code = "SourceGone" if to == "failed" else None
        values = {"run_id": RUN, "score_type": "era5_final", "lead_hours": lead_hours, "generation": 1, "code": code}
        advance_job(session, JobStep.model_validate(values | {"to": to, "at": NOW}))


def revised(session: Session, lead_hours: int, ordinal: int, score: int | None = None) -> None:
    """In reverse order of time, so that the ordinals decide."""
    scores: dict[str, Any] = {"totals": {MINER.hotkey: score}, "groups": {}} if score else {}
    row = TruthRevisionRow(run_id=RUN, lead_hours=lead_hours, truth_version="era5", ordinal=ordinal, scores=scores)
    row.truth_digest, row.rescored, row.confirmed, row.refused, row.report_digest = "", 0, 9, [], ""
    row.recorded_at = NOW + WEEK * (5 - ordinal)
    session.add(row)
    session.flush()


def leads(session: Session) -> list[int]:
    return [lead.lead_hours for lead in unrevised(session, "era5", T0 - WEEK, T0)]


def test_a_scored_lead_waits_until_it_is_revised_or_its_run_is_void(ledger: Ledger) -> None:
    with ledger.begin() as session:
        prepare(session, MINER.hotkey)
        for lead in (48, 24):
            scored(session, lead)
        scored(session, 72, "failed")
        assert leads(session) == [24, 48] and unrevised(session, "era5", T0 - WEEK, T0 - WEEK) == []
        revised(session, 24, 0)
        found = unrevised(session, "era5", T0, T0)
        assert found == [ScoredLead({"miners_per_chunk": 8}, 48, T0 + timedelta(hours=48))]
        close_run(session, RUN, closing(outcome="void", scores=[], lead_scores={}))
        assert leads(session) == []


def test_of_several_revisions_before_an_instant_the_last_one_has_the_scores(ledger: Ledger) -> None:
    state = RoundState(1, RUN, "closed", Fraction(1), 0, {}, {}, {})
    with ledger.begin() as session:
        prepare(session, MINER.hotkey)
        for to in ("initial_scoring_queued", "initial_scoring_skipped", "final_scoring_triggered"):
            advance_run(session, RUN, to, "told", NOW)
        advance_run(session, RUN, "final_scoring_completed", "told", NOW)
        close_run(session, RUN, closing())
        (closed,) = latest(session, [state], NOW)
        for ordinal, (lead, score) in enumerate(((24, 3), (48, 2), (72, 1), (96, None))):
            revised(session, lead, ordinal, score)
        for after, score in ((2, 0), (3, 0), (4, 1), (5, 1), (6, 1)):
            (found,) = latest(session, [state], NOW + WEEK * after)
            assert found.totals == ({MINER.hotkey: score} if score else closed.totals)
        for state in (closed, found):
            inputs = WeightInputs(
                network="test", policy=Proportional(), head=1, rounds=(CountedRound.of(state),), standings=()
            )
            assert [each.totals for each in frozen_rounds(session, inputs)] == [state.totals]
