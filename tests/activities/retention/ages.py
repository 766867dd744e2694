"""Runs that stand as they stand, and objects that were put on a day of the past."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy.orm import Session

from adapters.ledger.runs import advance_run, close_run, open_run
from adapters.object_store import ObjectStore
from protocol.names import run_id
from tests.activities.ledger.builders import closing, new_run

NOW = datetime(2026, 11, 22, 2, tzinfo=UTC)
TO_THE_END = ("initial_scoring_queued", "initial_scoring_skipped", "final_scoring_triggered", "final_scoring_completed")


def days_ago(days: float) -> datetime:
    return NOW - timedelta(days=days)


@dataclass(frozen=True)
class Past:
    """A run of a cycle so many days ago; without an outcome it is open."""

    cycle: int
    opened: float
    outcome: str | None = None
    closed: float = 0
    campaign: str | None = None

    @property
    def run_id(self) -> str:
        return run_id(days_ago(self.cycle).replace(hour=0), self.campaign)

    def store(self, session: Session) -> None:
        init_time, purpose = days_ago(self.cycle).replace(hour=0), "hindcast" if self.campaign else "live"
        opened_at, closed_at = days_ago(self.opened), days_ago(self.closed)
        open_run(session, new_run(run_id=self.run_id, init_time=init_time, opened_at=opened_at, purpose=purpose))
        if self.outcome is None:
            return
        for status in () if self.outcome == "void" else TO_THE_END:
            advance_run(session, self.run_id, status, "test", closed_at)
        end = closing(outcome=self.outcome, closed_at=closed_at, scores=[], lead_scores={})
        close_run(session, self.run_id, end)


def put_ago(store: ObjectStore, root: Path, days: float, put: Callable[[], str], kind: str = "bytes") -> str:
    """An object as old as that; answers its key."""
    digest = put()
    at = days_ago(days).timestamp()
    os.utime(root / kind / digest[:2] / digest, (at, at))
    return f"{kind}/{digest}"
