"""What a run is closed with: golden scores from planted facts, and whose fault costs what."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

import pytest

from activities.messages.base import FaultNote
from activities.messages.run import AdvanceRun, CloseRun, ForecastRunResult, Step
from adapters.ledger import facts, runs, views
from adapters.ledger.values import FaultRecord, ScoreFact
from protocol.facts import facts_digest, faults_digest
from protocol.weights import BASELINE
from starter.commands.reports import run_leaf
from tests.activities.validator.world import ALICE, BOB, CAROL, LIVE, T0, Opened, Validator, do
from weather.cases import CaseKey, case_set
from weather.faults import LedgerConflict
from weather.score_spec import ScoreSpec

CLOSED = T0 + timedelta(days=20)
F1, F2 = 0.832801951016, 0.645405060935
GOLDEN, MISSING_T850, VOID_T850, FAILED_GATE = 724566290, 723525288, 724524511, 674566290
T850 = {"pass_": "era5_final", "lead_hours": 24, "variable": "t", "level": 850, "region": "global"}
GATE = {"pass_": "day1_qc", "variable": "gate", "level": 0}


@pytest.fixture
def opened(validator: Validator) -> Opened:
    """A run on all fields whose last pass is done."""
    opened = validator.open(LIVE.model_copy(update={"grid": "5p625"}))
    do(validator.runs.seal_run, Step(run_id=opened.run.run_id, at=opened.window.commit_deadline))
    for to in ("initial_scoring_skipped", "final_scoring_triggered"):
        do(validator.runs.advance_run, AdvanceRun(run_id=opened.run.run_id, to=to, reason="", at=T0))
    return opened


def rules(validator: Validator) -> ScoreSpec:
    return validator.catalog.rules("5p625")


def golden_score(key: CaseKey) -> float:
    if key.variable == "gate":
        return 1.0
    return F1 if key.level == 0 or key.level >= 500 else F2


def fact(opened: Opened, hotkey: str, key: CaseKey) -> ScoreFact:
    return ScoreFact(
        run_id=opened.run.run_id,
        hotkey=hotkey,
        pass_="day1_qc" if key.variable == "gate" else "era5_final",
        lead_hours=key.lead_time_hours,
        variable=key.variable,
        level=key.level,
        spec_digest=opened.run.score_spec_digest,
        truth_version="era5t",
        kind="live",
        valid_time=opened.run.valid_time(key.lead_time_hours),
        forecast_digest="1" * 64,
        truth_digest="2" * 64,
        climatology_digest="3" * 64,
        sums={"W": 1.0},
        score=golden_score(key),
        kernel_order="four-rows/1",
        package_version="0.1.0",
        scored_at=CLOSED,
    )


def fault(opened: Opened, hotkey: str, code: str, cause: str, **scope: Any) -> FaultRecord:
    effect = "W" if cause in ("miner", "policy") else "V"
    record = {"run_id": opened.run.run_id, "hotkey": hotkey, "code": code, "cause": cause, "effect": effect}
    return FaultRecord.model_validate({**record, "recorded_at": CLOSED, **scope})


def scored(validator: Validator, opened: Opened, hotkey: str, lacking: dict[str, Any] | None = None) -> list[ScoreFact]:
    """The golden facts of a miner: all but those of lead 240 h, which the fault beside them accounts for."""
    keys = [case.key for case in case_set(rules(validator))]
    keys = [key for key in keys if key.lead_time_hours < 240 or key.variable == "gate"]
    gone = tuple((lacking or {}).get(name) for name in ("pass_", "lead_hours", "variable", "level", "region"))
    return [fact(opened, hotkey, key) for key in keys if tuple(key) != gone]


def plant(validator: Validator, opened: Opened, *keys: Any, lacking: dict[str, Any] | None = None) -> None:
    for key in keys:
        absent = fault(opened, key.hotkey, "ObjectAbsent", "miner", pass_="era5_final", lead_hours=240)
        validator.record(*scored(validator, opened, key.hotkey, lacking), absent)


def close(validator: Validator, opened: Opened, **more: Any) -> ForecastRunResult:
    return do(validator.runs.close_run, CloseRun(run_id=opened.run.run_id, at=CLOSED, **more))


def board(validator: Validator, opened: Opened) -> dict[str, tuple[int | None, int, str | None]]:
    with validator.ledger.read() as session:
        rows = views.board_rows(session, opened.run.run_id)
        return {row.hotkey: (row.rank, row.score_nano, row.code) for row in rows}


def test_the_golden_case_gives_the_golden_integers(validator: Validator, opened: Opened) -> None:
    plant(validator, opened, ALICE, BOB)
    result = close(validator, opened)
    assert (result.outcome, result.outcome_reason, result.coverage) == ("closed", "complete", "1/1")
    assert board(validator, opened) == {key.hotkey: (1, GOLDEN, None) for key in (ALICE, BOB)}
    with validator.ledger.read() as session:
        (row, _) = views.board_rows(session, opened.run.run_id)
        recorded, faults = facts.facts_of(session, result.run_id), facts.faults_of(session, result.run_id)
        run = runs.get_run(session, result.run_id)
        assert run is not None and (run.status, run.outcome) == ("completed", "closed")
    assert row.lead_scores["era5_final", 24] == 799518100
    assert row.lead_scores["era5_final", 240] == 50_000_000
    assert (result.facts_digest, result.faults_digest) == (facts_digest(recorded), faults_digest(faults))
    assert (result.verified, result.faults) == (0, 2)


def test_a_run_closed_again_answers_what_is_stored(validator: Validator, opened: Opened) -> None:
    plant(validator, opened, ALICE, BOB)
    first = close(validator, opened)
    later = CloseRun(run_id=opened.run.run_id, at=CLOSED + timedelta(days=1), void_reason="coverage")
    assert do(validator.runs.close_run, later) == first


def test_a_fault_of_ours_in_one_case_of_one_miner_voids_it_for_all(validator: Validator, opened: Opened) -> None:
    plant(validator, opened, ALICE)
    plant(validator, opened, BOB, lacking=T850)
    validator.record(fault(opened, BOB.hotkey, "StoreUnavailable", "platform", **T850))
    result = close(validator, opened)
    assert (result.outcome, result.outcome_reason) == ("closed_partial", "partial")
    assert result.coverage != "1/1"
    assert {score for _, score, _ in board(validator, opened).values()} == {VOID_T850}


def test_a_fault_of_one_miner_is_worst_for_it_alone(validator: Validator, opened: Opened) -> None:
    plant(validator, opened, ALICE)
    plant(validator, opened, BOB, lacking=T850)
    validator.record(fault(opened, BOB.hotkey, "ObjectDigestMismatch", "miner", **T850))
    assert close(validator, opened).outcome == "closed"
    assert board(validator, opened) == {ALICE.hotkey: (1, GOLDEN, None), BOB.hotkey: (2, MISSING_T850, None)}


def test_a_failed_gate_costs_its_share(validator: Validator, opened: Opened) -> None:
    plant(validator, opened, ALICE, BOB)
    validator.record(fault(opened, BOB.hotkey, "QualityControlFailed", "miner", **GATE))
    close(validator, opened)
    assert board(validator, opened)[BOB.hotkey] == (2, FAILED_GATE, None)


def test_a_clone_has_nothing_in_any_case_and_the_board_says_why(validator: Validator, opened: Opened) -> None:
    plant(validator, opened, ALICE, BOB)
    validator.record(fault(opened, BOB.hotkey, "BaselineClone", "policy"))
    close(validator, opened)
    assert board(validator, opened) == {ALICE.hotkey: (1, GOLDEN, None), BOB.hotkey: (2, 0, "BaselineClone")}


def test_without_any_commitment_everybody_is_worst(validator: Validator, opened: Opened) -> None:
    validator.record(*(fault(opened, key.hotkey, "NoCommitment", "miner") for key in (ALICE, BOB)))
    assert close(validator, opened).outcome == "closed"
    assert board(validator, opened) == {key.hotkey: (1, 0, "NoCommitment") for key in (ALICE, BOB)}


def test_truth_that_never_came_voids_the_run_and_ranks_nobody(validator: Validator, opened: Opened) -> None:
    plant(validator, opened, ALICE)
    validator.record(fault(opened, "*", "TruthNotYetAvailable", "source", pass_="era5_final"))
    result = close(validator, opened)
    assert (result.outcome, result.outcome_reason) == ("void", "coverage")
    assert board(validator, opened) == {}
    with validator.ledger.read() as session:
        run = runs.get_run(session, opened.run.run_id)
        assert run is not None and run.status == "error"


@pytest.mark.parametrize("reason", ["empty_roster", "no_lead"])
def test_a_run_that_cannot_be_scored_at_all_says_why(validator: Validator, reason: str) -> None:
    opened = validator.open()
    result = close(validator, opened, void_reason=reason)
    assert (result.outcome, result.outcome_reason, result.coverage) == ("void", reason, "0/1")
    assert close(validator, opened, void_reason=reason) == result


def test_inputs_that_never_came_are_on_record_as_nobodys_fault(validator: Validator) -> None:
    opened = validator.open()
    gone = FaultNote(code="SourceGone", cause="source", detail="the cycle is gone", found="404")
    result = close(validator, opened, void_reason="no_lead", fault=gone)
    assert (result.outcome, result.faults) == ("void", 1)
    with validator.ledger.read() as session:
        (record,) = facts.faults_of(session, result.run_id)
    assert (record.code, record.effect, record.hotkey, record.found) == ("SourceGone", "V", "*", "404")


def test_a_stranger_never_enters_the_board(validator: Validator, opened: Opened) -> None:
    plant(validator, opened, ALICE, BOB, CAROL)
    close(validator, opened)
    assert set(board(validator, opened)) == {ALICE.hotkey, BOB.hotkey}


def in_doubt(validator: Validator, opened: Opened, score: float = 0.2 + 1e-8) -> str | None:
    """Plant a round in which climatology has one score that it cannot have; answers what the review says."""
    plant(validator, opened, ALICE, BOB)
    usual, odd = ("z", 500, 24), ("2t", 0, 48)
    for (variable, level, lead), value in ((usual, 0.2), (odd, score)):
        key = CaseKey("era5_final", lead, variable, level, "global")
        validator.record(fact(opened, BASELINE, key).model_copy(update={"score": value}))
    at = Step(run_id=opened.run.run_id, at=CLOSED)
    return do(validator.runs.aggregate_run, at).doubt


def reviewed(validator: Validator, opened: Opened) -> tuple[str | None, str]:
    with validator.ledger.read() as session:
        run = runs.get_run(session, opened.run.run_id)
        assert run is not None
        return run.review, run_leaf(session, run).evidence.get("check", "")


def test_climatology_that_scores_what_it_cannot_score_puts_the_run_in_review(
    validator: Validator, opened: Opened
) -> None:
    doubt = in_doubt(validator, opened)
    assert doubt == "1 cases of climatology score other than 200000000: 200000010 in 2t at 48 h"
    assert reviewed(validator, opened) == ("fail", f"coverage 1/1; {doubt}")
    result = close(validator, opened)
    assert (result.outcome, result.outcome_reason, board(validator, opened)) == ("void", "review", {})


def test_a_review_that_an_operator_lets_pass_is_not_made_again(validator: Validator, opened: Opened) -> None:
    assert in_doubt(validator, opened)
    with validator.ledger.begin() as session:
        runs.changed_run(session, opened.run.run_id).review = "pass"
    result = close(validator, opened)
    assert (result.outcome, reviewed(validator, opened)) == ("closed", ("pass", ""))


def test_a_review_forgets_what_a_rerun_has_scored_anew_or_what_does_not_count(
    validator: Validator, opened: Opened
) -> None:
    assert in_doubt(validator, opened)
    again = fact(opened, BASELINE, CaseKey("era5_final", 48, "2t", 0, "global"))
    validator.record(again.model_copy(update={"score": 0.2, "generation": 2}))
    assert close(validator, opened).outcome == "closed"
    assert reviewed(validator, opened) == (None, "")


@pytest.mark.parametrize("score", [0.2, 0.2 + 1e-15, math.nextafter(0.2, 0)])
def test_a_review_passes_what_rounding_does(validator: Validator, opened: Opened, score: float) -> None:
    assert in_doubt(validator, opened, score) is None


def test_a_run_that_is_not_ready_to_close_stays_open(validator: Validator) -> None:
    opened = validator.open()
    with pytest.raises(LedgerConflict):
        close(validator, opened)
    with validator.ledger.read() as session:
        run = runs.get_run(session, opened.run.run_id)
        assert run is not None and run.outcome is None
