"""What people see of a run, and one digest of what it came to, for comparing two ledgers."""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import Any, NamedTuple

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from adapters.ledger.facts import facts_of, faults_of
from adapters.ledger.rows import columns_of, rows_of
from adapters.ledger.runs import get_run
from adapters.ledger.tables.commitments import CommitmentRow
from adapters.ledger.tables.runs import MinerResponseRow, RosterRow
from adapters.ledger.tables.scores import FaultRecordRow, GroupScoreRow, LeadScoreRow, RoundScoreRow, ScoreFactRow
from adapters.ledger.values import FaultRecord
from protocol.canonical import J
from protocol.facts import facts_digest, faults_digest

OUTCOME = ("status", "outcome", "outcome_reason", "coverage", "roster_digest", "score_spec_digest")


class BoardRow(NamedTuple):
    """One miner of a closed run; lead scores by (pass, lead) in nano."""

    rank: int | None
    name: str
    hotkey: str
    score_nano: int
    code: str | None
    lead_scores: dict[tuple[str, int], int]


def run_counts(session: Session, run_id: str) -> dict[str, Any]:
    """How many rows a run has of each kind, and how many miners stand at each status."""

    def count(kind: type[RosterRow | CommitmentRow | ScoreFactRow | FaultRecordRow]) -> int:
        return session.scalars(select(func.count()).select_from(kind).where(kind.run_id == run_id)).one()

    return {
        "miners": count(RosterRow),
        "responses": dict(Counter(row.status for row in rows_of(session, MinerResponseRow, run_id))),
        "commitments": count(CommitmentRow),
        "facts": count(ScoreFactRow),
        "faults": count(FaultRecordRow),
    }


def board_rows(session: Session, run_id: str) -> list[BoardRow]:
    """The miners of a closed run by rank, the unranked last; empty before it is closed."""
    leads: dict[str, dict[tuple[str, int], int]] = {}
    for row in rows_of(session, LeadScoreRow, run_id):
        leads.setdefault(row.hotkey, {})[row.pass_, row.lead_hours] = row.score_nano
    names = {row.hotkey: row.name for row in rows_of(session, RosterRow, run_id)}
    ranked = sorted(rows_of(session, RoundScoreRow, run_id), key=lambda row: (row.rank is None, row.rank))
    return [
        BoardRow(
            rank=row.rank,
            name=names.get(row.hotkey, row.hotkey),
            hotkey=row.hotkey,
            score_nano=row.score_nano,
            code=row.code,
            lead_scores=leads.get(row.hotkey, {}),
        )
        for row in ranked
    ]


def faults_by_miner(session: Session, run_id: str) -> dict[str, list[FaultRecord]]:
    """Fault records by hotkey; those that concern all miners stand under `*`."""
    grouped: dict[str, list[FaultRecord]] = {}
    for fault in faults_of(session, run_id):
        grouped.setdefault(fault.hotkey, []).append(fault)
    return grouped


def ledger_digest(session: Session, run_id: str) -> str:
    """SHA-256 over facts, faults, scores and outcome; no time of record, salt or receipt takes part."""
    run = get_run(session, run_id)
    total, group, lead = RoundScoreRow, GroupScoreRow, LeadScoreRow
    content: dict[str, Any] = {
        "outcome": None if run is None else [getattr(run, name) for name in OUTCOME],
        "facts": facts_digest(facts_of(session, run_id)),
        "faults": faults_digest(faults_of(session, run_id)),
        "scores": columns_of(session, run_id, total.hotkey, total.score_nano, total.rank, total.code),
        "groups": columns_of(session, run_id, group.hotkey, group.group_name, group.score_nano),
        "leads": columns_of(session, run_id, lead.hotkey, lead.pass_, lead.lead_hours, lead.score_nano),
    }
    return hashlib.sha256(J(content)).hexdigest()
