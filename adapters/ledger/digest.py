"""One digest of what a run came to, for comparing two ledgers."""

from __future__ import annotations

import hashlib
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from adapters.ledger.facts import facts_of, faults_of
from adapters.ledger.runs import get_run
from adapters.ledger.tables.scores import GroupScoreRow, LeadScoreRow, RoundScoreRow
from protocol.canonical import J
from protocol.facts import facts_digest, faults_digest

OUTCOME = ("status", "outcome", "outcome_reason", "coverage", "roster_digest", "score_spec_digest")


def ledger_digest(session: Session, run_id: str) -> str:
    """SHA-256 over facts, faults, scores and outcome; no time of record, salt or receipt takes part."""
    run = get_run(session, run_id)
    rounds = (RoundScoreRow.hotkey, RoundScoreRow.score_nano, RoundScoreRow.rank, RoundScoreRow.code)
    groups = (GroupScoreRow.hotkey, GroupScoreRow.group_name, GroupScoreRow.score_nano)
    leads = (LeadScoreRow.hotkey, LeadScoreRow.pass_, LeadScoreRow.lead_hours, LeadScoreRow.score_nano)
    content: dict[str, Any] = {
        "outcome": None if run is None else [getattr(run, name) for name in OUTCOME],
        "facts": facts_digest(facts_of(session, run_id)),
        "faults": faults_digest(faults_of(session, run_id)),
        "scores": sorted(list(row) for row in session.execute(select(*rounds).where(RoundScoreRow.run_id == run_id))),
        "groups": sorted(list(row) for row in session.execute(select(*groups).where(GroupScoreRow.run_id == run_id))),
        "leads": sorted(list(row) for row in session.execute(select(*leads).where(LeadScoreRow.run_id == run_id))),
    }
    return hashlib.sha256(J(content)).hexdigest()
