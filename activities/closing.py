"""From facts and faults in the ledger to the frozen scores of a run."""

from __future__ import annotations

from datetime import datetime
from fractions import Fraction

from sqlalchemy.orm import Session

from activities.messages.run import Aggregated, CloseRun, ForecastRunResult
from adapters.ledger import facts, runs
from adapters.ledger.facts import run_record
from adapters.ledger.rows import rows_of
from adapters.ledger.tables.runs import ForecastRunRow, MinerResponseRow
from adapters.ledger.values import Closing, FaultRecord, RoundScore
from protocol.facts import facts_digest, faults_digest
from protocol.weights import BASELINE
from weather.entrants import climatology_worth
from weather.final_score import nano
from weather.round_score import Closing as Decision
from weather.round_score import decide_close, ranking
from weather.score_spec import ScoreSpec

NOTHING = Decision("void", "no_lead", Fraction(0), (), {}, {}, {}, {})


def aggregate(session: Session, run: ForecastRunRow, rules: ScoreSpec, at: datetime) -> Aggregated:
    """Move the run's status to what its coverage says, and review it."""
    decision, doubt = _decide(session, run, rules)
    closing = _closing(session, run, decision, CloseRun(run_id=run.run_id, at=at))
    _project(session, run, closing, doubt)
    return Aggregated(outcome=closing.outcome, coverage=closing.coverage, doubt=doubt)


def close(session: Session, run: ForecastRunRow, rules: ScoreSpec, request: CloseRun) -> ForecastRunResult:
    """Freeze outcome, ranks and scores; again: the stored outcome."""
    if run.outcome is None:
        if request.fault:
            void = FaultRecord(run_id=run.run_id, effect="V", recorded_at=request.at, **request.fault.model_dump())
            facts.record_faults(session, [void])
        decision, doubt = (NOTHING, None) if request.void_reason else _decide(session, run, rules)
        if doubt:
            decision, request = NOTHING, request.model_copy(update={"void_reason": "review"})
        closing = _closing(session, run, decision, request)
        if request.void_reason is None and not (request.overdue and closing.outcome == "void"):
            _project(session, run, closing)
        runs.close_run(session, run.run_id, closing)
    return _result(session, run)


def _decide(session: Session, run: ForecastRunRow, rules: ScoreSpec) -> tuple[Decision, str | None]:
    """The decision on what is recorded; and the doubt, unless an operator let it pass, that climatology raises.

    It scores the same wherever it is scored, or scores mean nothing.
    """
    record = run_record(session, run.run_id)
    decision, worth = decide_close(rules, record), nano(climatology_worth(rules.era5_final))
    final = [(BASELINE, key) for key in decision.counted if key.pass_ == "era5_final"]
    wrong = [pair for pair in final if record.scores.get(pair, worth) != worth]
    if run.review != "pass":
        run.review = "fail" if wrong else None
    if run.review != "fail":
        return decision, None
    _, (_, lead, variable, level, _) = wrong[0]
    case = f"{variable}{level or ''} at {lead} h"
    return decision, f"{len(wrong)} cases of climatology score other than {worth}: {record.scores[wrong[0]]} in {case}"


def _project(session: Session, run: ForecastRunRow, closing: Closing, doubt: str | None = None) -> None:
    covered = "final_scoring_failed" if closing.outcome == "void" else "final_scoring_completed"
    if run.status == "final_scoring_failed" != covered:
        runs.advance_run(session, run.run_id, "final_scoring_triggered", "helped by an operator", closing.closed_at)
    reason = "; ".join(filter(None, [f"coverage {closing.coverage}", doubt]))
    runs.reach_run(session, run.run_id, covered, reason, closing.closed_at)


def _closing(session: Session, run: ForecastRunRow, decision: Decision, request: CloseRun) -> Closing:
    scored, faults = facts.facts_of(session, run.run_id), facts.faults_of(session, run.run_id)
    codes = {fault.hotkey: fault.code for fault in reversed(faults) if fault.costs_the_run}
    return Closing.model_validate(
        {
            "outcome": decision.outcome,
            "reason": request.void_reason or decision.reason,
            "coverage": f"{decision.coverage.numerator}/{decision.coverage.denominator}",
            "facts_digest": facts_digest(scored),
            "faults_digest": faults_digest(faults),
            "scores": [
                RoundScore(hotkey=row.hotkey, score_nano=row.score, rank=row.rank, code=codes.get(row.hotkey))
                for row in ranking(decision.round_scores)
            ],
            "lead_scores": decision.lead_scores,
            "group_scores": decision.group_scores,
            "closed_at": request.at,
        }
    )


def _result(session: Session, run: ForecastRunRow) -> ForecastRunResult:
    verified = [row for row in rows_of(session, MinerResponseRow, run.run_id) if row.manifest_digest]
    kept = ("run_id", "outcome", "outcome_reason", "coverage", "facts_digest", "faults_digest")
    return ForecastRunResult.model_validate(
        {name: getattr(run, name) for name in kept}
        | {"verified": len(verified), "faults": len(facts.faults_of(session, run.run_id))}
    )
