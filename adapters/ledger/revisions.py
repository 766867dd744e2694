"""Leads that a newer truth may revise, and what it made of them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from adapters.ledger.retention import TRUTH_EXPECTED
from adapters.ledger.tables.runs import ForecastRunRow, MinerResponseRow, ScoringJobRow
from adapters.ledger.tables.scores import TruthRevisionRow
from weather.round_score import Closing

LONGEST_LEAD = timedelta(days=16)


class ScoredLead(NamedTuple):
    """A lead that is scored and not revised yet; the configuration is that of its run."""

    config: dict[str, object]
    lead_hours: int
    valid_time: datetime


def unrevised_since(session: Session, version: str, at: datetime) -> list[ScoredLead]:
    """Leads of all runs whose forecasts are kept for a truth to come."""
    return _unrevised(session, version, ForecastRunRow.init_time > at - TRUTH_EXPECTED)


def unrevised_at(session: Session, version: str, valid_time: datetime) -> list[ScoredLead]:
    """Leads that verify at this time."""
    before = ForecastRunRow.init_time.between(valid_time - LONGEST_LEAD, valid_time)
    return [lead for lead in _unrevised(session, version, before) if lead.valid_time == valid_time]


def verified_stores(session: Session, run_id: str) -> dict[str, str]:
    """What was verified of each miner, by hotkey."""
    row = MinerResponseRow
    chosen = select(row.hotkey, row.manifest_digest).where(row.run_id == run_id, row.manifest_digest.is_not(None))
    return dict(session.execute(chosen).all())


def next_ordinal(session: Session, run_id: str) -> int:
    """The place of a new row among those of a run that is locked."""
    return session.scalars(select(func.count()).where(TruthRevisionRow.run_id == run_id)).one()


def table_of(closing: Closing) -> dict[str, object]:
    """R and p of everybody, as weights read them."""
    groups: dict[str, dict[str, int]] = {}
    for (hotkey, group), score in closing.group_scores.items():
        groups.setdefault(hotkey, {})[group] = score
    return {"totals": closing.round_scores, "groups": groups}


def _unrevised(session: Session, version: str, among: ColumnElement[bool]) -> list[ScoredLead]:
    run, job, seen = ForecastRunRow, ScoringJobRow, TruthRevisionRow
    revised = select(seen.run_id).where(
        seen.run_id == run.run_id, seen.lead_hours == job.lead_hours, seen.truth_version == version
    )
    chosen = (
        select(run.config, run.init_time, job.lead_hours)
        .join(job, job.run_id == run.run_id)
        .where(among, run.purpose == "live", func.coalesce(run.outcome, "") != "void", ~revised.exists())
        .where(job.score_type == "era5_final", job.status == "completed")
        .distinct()
        .order_by(run.init_time, job.lead_hours)
    )
    return [
        ScoredLead(config, lead_hours, init_time + timedelta(hours=lead_hours))
        for config, init_time, lead_hours in session.execute(chosen)
    ]
