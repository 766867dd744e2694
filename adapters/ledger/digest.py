"""One digest of what a run came to, for comparing two ledgers."""

from __future__ import annotations

import hashlib
from typing import Any

from sqlalchemy.orm import Session

from adapters.ledger.facts import facts_of, faults_of
from adapters.ledger.rows import columns_of
from adapters.ledger.runs import get_run
from adapters.ledger.tables.scores import GroupScoreRow, LeadScoreRow, RoundScoreRow
from protocol.canonical import J
from protocol.facts import facts_digest, faults_digest

OUTCOME = ("status", "outcome", "outcome_reason", "coverage", "roster_digest", "score_spec_digest")


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
