"""Leads that a newer truth has not revised yet."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from adapters.ledger.tables.runs import ForecastRunRow, ScoringJobRow
from adapters.ledger.tables.scores import TruthRevisionRow


class ScoredLead(NamedTuple):
    """A final lead that is scored, with the configuration of its run."""

    config: dict[str, Any]
    lead_hours: int
    valid_time: datetime


def unrevised(session: Session, version: str, first: datetime, last: datetime) -> list[ScoredLead]:
    """Leads of live runs of these init times, by init time, without what this truth has revised or what is void."""
    run, job, seen = ForecastRunRow, ScoringJobRow, TruthRevisionRow
    revised = select(seen.run_id).where(
        seen.run_id == run.run_id, seen.lead_hours == job.lead_hours, seen.truth_version == version
    )
    chosen = (
        select(run.config, run.init_time, job.lead_hours)
        .join(job)
        .where(run.init_time.between(first, last), run.purpose == "live", func.coalesce(run.outcome, "") != "void")
        .where(job.score_type == "era5_final", job.status == "completed", ~revised.exists())
        .distinct()
        .order_by(run.init_time, job.lead_hours)
    )
    return [
        ScoredLead(config, lead_hours, init_time + timedelta(hours=lead_hours))
        for config, init_time, lead_hours in session.execute(chosen)
    ]
