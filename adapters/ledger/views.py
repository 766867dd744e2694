"""What people see of a run."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from adapters.ledger.facts import faults_of
from adapters.ledger.responses import responses_of
from adapters.ledger.runs import get_run
from adapters.ledger.tables.commitments import CommitmentRow
from adapters.ledger.tables.runs import ForecastRunRow, RosterRow
from adapters.ledger.tables.scores import LeadScoreRow, RoundScoreRow, ScoreFactRow
from adapters.ledger.values import FaultRecord


@dataclass(frozen=True)
class RunSummary:
    """A run in numbers; `responses` counts the miners by status."""

    run: ForecastRunRow
    miners: int
    commitments: int
    facts: int
    faults: int
    responses: dict[str, int]


@dataclass(frozen=True)
class BoardRow:
    """One miner of a closed run; lead scores by (pass, lead) in nano."""

    rank: int | None
    name: str
    hotkey: str
    score_nano: int
    code: str | None
    lead_scores: dict[tuple[str, int], int]
    committed_at: datetime | None


def run_summary(session: Session, run_id: str) -> RunSummary | None:
    """None if there is no such run."""
    run = get_run(session, run_id)
    if run is None:
        return None

    def count(kind: type[RosterRow | CommitmentRow | ScoreFactRow]) -> int:
        return session.scalars(select(func.count()).select_from(kind).where(kind.run_id == run_id)).one()

    return RunSummary(
        run=run,
        miners=count(RosterRow),
        commitments=count(CommitmentRow),
        facts=count(ScoreFactRow),
        faults=len(faults_of(session, run_id)),
        responses=dict(Counter(row.status for row in responses_of(session, run_id))),
    )


def board_rows(session: Session, run_id: str) -> list[BoardRow]:
    """The miners of a closed run by rank, the unranked last; empty before it is closed."""
    leads: dict[str, dict[tuple[str, int], int]] = {}
    for row in session.scalars(select(LeadScoreRow).where(LeadScoreRow.run_id == run_id)):
        leads.setdefault(row.hotkey, {})[row.pass_, row.lead_hours] = row.score_nano
    on_roster = (RosterRow.run_id == RoundScoreRow.run_id) & (RosterRow.hotkey == RoundScoreRow.hotkey)
    committed = (CommitmentRow.run_id == RoundScoreRow.run_id) & (CommitmentRow.hotkey == RoundScoreRow.hotkey)
    chosen = (
        select(RoundScoreRow, RosterRow.name, CommitmentRow.received_at)
        .outerjoin(RosterRow, on_roster)
        .outerjoin(CommitmentRow, committed)
        .where(RoundScoreRow.run_id == run_id)
        .order_by(RoundScoreRow.rank.is_(None), RoundScoreRow.rank, RoundScoreRow.hotkey)
    )
    return [
        BoardRow(
            rank=score.rank,
            name=name or score.hotkey,
            hotkey=score.hotkey,
            score_nano=score.score_nano,
            code=score.code,
            lead_scores=leads.get(score.hotkey, {}),
            committed_at=received_at,
        )
        for score, name, received_at in session.execute(chosen)
    ]


def faults_by_miner(session: Session, run_id: str) -> dict[str, list[FaultRecord]]:
    """Fault records by hotkey; those that concern all miners stand under `*`."""
    grouped: dict[str, list[FaultRecord]] = {}
    for fault in faults_of(session, run_id):
        grouped.setdefault(fault.hotkey, []).append(fault)
    return grouped
