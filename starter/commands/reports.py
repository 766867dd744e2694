"""What the ledger tells of runs."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import typer
from sqlalchemy import select
from sqlalchemy.orm import Session

from adapters.ledger.facts import newest_facts
from adapters.ledger.interventions import interventions_of
from adapters.ledger.roster import roster_of
from adapters.ledger.runs import get_run, list_runs
from adapters.ledger.tables.runs import ForecastRunRow, RunTransitionRow
from adapters.ledger.tables.scores import FaultRecordRow, ScoreFactRow
from adapters.ledger.views import board_rows, run_counts
from protocol.facts import in_force
from starter.commands.whys import Leaf, of_run
from weather.fields import short_name
from weather.metrics import derived
from weather.sums import FieldSums, merge

Document = dict[str, Any]
RUN_COLUMNS = ("run_id", "status", "outcome", "outcome_reason", "coverage", "grid", "commit_deadline", "closed_at")


def runs_listed(session: Session) -> list[Document]:
    return [_columns(run) | {"why": run_leaf(session, run).says} for run in list_runs(session)]


def run_told(session: Session, run_id: str) -> Document:
    """Empty if the ledger has no such run."""
    run = get_run(session, run_id)
    return {} if run is None else _columns(run) | run_counts(session, run_id)


def run_leaf(session: Session, run: ForecastRunRow) -> Leaf:
    """Why a run stands where it stands."""
    void = (FaultRecordRow.run_id == run.run_id) & (FaultRecordRow.effect == "V")
    codes = Counter(session.scalars(select(FaultRecordRow.code).where(void)))
    act = None
    if run.held_by or run.outcome_reason == "operator":
        acts = [one for one in interventions_of(session, run.run_id) if one.state == "acted" and one.verb != "rerun"]
        act = acts[-1] if acts else None
    moved = session.get(RunTransitionRow, (run.run_id, run.status_ordinal))
    since = act.at if act and not run.outcome else moved.at if moved else None
    leaf = of_run(run, since, dict(codes.most_common(3)), act)
    numbers = {"check": moved.reason} if moved and run.review == "fail" and not run.outcome else {}
    return replace(leaf, evidence={**leaf.evidence, **numbers})


def require_run(session: Session, run_id: str) -> None:
    if get_run(session, run_id) is None:
        raise typer.BadParameter(f"the ledger knows no {run_id}; `barograph run list` shows the runs")


def board(session: Session, run_id: str) -> list[Document]:
    require_run(session, run_id)
    return [
        {
            "rank": row.rank,
            "name": row.name,
            "hotkey": row.hotkey,
            "score": row.score_nano / 1e9,
            "leads": {f"{lead:03d}h": nano / 1e9 for (_, lead), nano in sorted(row.lead_scores.items())},
            "code": row.code,
        }
        for row in board_rows(session, run_id)
    ]


def metrics_of(session: Session, run_id: str, miner: str) -> list[Document]:
    """Errors of a miner or baseline in each field and lead of the final pass, and of a field over all leads."""
    require_run(session, run_id)
    hotkey = miner if miner.startswith("baseline/") else hotkey_of(session, run_id, miner)
    chosen = newest_facts(session, run_id, ScoreFactRow.hotkey == hotkey, ScoreFactRow.pass_ == "era5_final")
    fields: dict[str, dict[int, FieldSums]] = {}
    for fact in in_force(chosen):
        leads = fields.setdefault(short_name(fact.variable, fact.level), {})
        leads[fact.lead_hours] = FieldSums.from_dict(fact.sums)
    return [
        {"field": field, "lead": lead, **derived(sums)}
        for field, leads in sorted(fields.items())
        for lead, sums in [*((f"{lead:03d}h", leads[lead]) for lead in sorted(leads)), ("all", merge(leads.values()))]
    ]


def hotkey_of(session: Session, run_id: str, miner: str) -> str:
    """The hotkey of a name or hotkey on the roster of a run."""
    roster = roster_of(session, run_id)
    for entry in roster:
        if miner in (entry.name, entry.hotkey):
            return entry.hotkey
    known = ", ".join(entry.name for entry in roster) or "none: the roster is empty"
    raise typer.BadParameter(f"found {miner!r}, expected a miner of {run_id}: {known}")


def _columns(run: ForecastRunRow) -> Document:
    return {name: getattr(run, name) for name in RUN_COLUMNS}
