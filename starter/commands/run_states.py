"""Why a run stands where it stands, as the ledger knows it: one sentence for every status."""

from __future__ import annotations

from collections import Counter

from sqlalchemy import select
from sqlalchemy.orm import Session

from adapters.ledger.tables.runs import ForecastRunRow
from adapters.ledger.tables.scores import FaultRecordRow
from protocol.names import format_time

OPEN = {
    "pending": "waits for inputs and commitments, until {commit_deadline}",
    "initial_scoring_queued": "sealed; waits for the analyses of day 1",
    "initial_scoring_running": "scores day 1",
    "initial_scoring_skipped": "no day-1 lead is scored; waits for ERA5",
    "initial_scoring_failed": "day 1 is void: {faults}; waits for ERA5",
    "initial_scoring_done": "day 1 is scored; waits for ERA5",
    "final_scoring_triggered": "scores each lead as its ERA5 comes, until {close_by}",
    "final_scoring_failed": "too little is scored: {faults}; `run rerun` or `run accept` may help, until {close_by}",
    "final_scoring_completed": "scored; about to close",
}
CLOSED = {
    "complete": "closed: every case counted",
    "partial": "closed on coverage {coverage}: {faults}",
    "coverage": "void: coverage {coverage} is below 7/10: {faults}",
    "empty_roster": "void: the registry had no miner",
    "no_lead": "void: no lead could be committed to before its weather: {faults}",
    "ingress": "void: the validator's own HTTP side was down: {faults}",
    "operator": "void: by an operator, or held until it had to close",
    "review": "void: its check failed and nobody answered",
    "not_run": "void: this cycle was never opened",
}


def sentence(session: Session, run: ForecastRunRow) -> str:
    """What the run waits for, or why it ended so."""
    told = CLOSED[run.outcome_reason] if run.outcome_reason else OPEN[run.status]
    if run.held_by and not run.outcome:
        told = f"held by {run.held_by}, void at {{close_by}} unless released; {told}"
    return told.format(
        commit_deadline=format_time(run.commit_deadline) if run.commit_deadline else "the deadline",
        close_by=format_time(run.close_by.replace(microsecond=0)),
        coverage=run.coverage,
        faults=_faults(session, run.run_id) if "{faults}" in told else "",
    )


def _faults(session: Session, run_id: str) -> str:
    """The codes that void cases, most frequent first."""
    void = (FaultRecordRow.run_id == run_id) & (FaultRecordRow.effect == "V")
    codes = Counter(session.scalars(select(FaultRecordRow.code).where(void)))
    return ", ".join(f"{code} ({count})" for code, count in codes.most_common(3)) or "cases that nobody settled"
