"""What retention audits ask of the ledger: who committed in time, and which cases nothing has settled yet."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from adapters.ledger.tables.commitments import CommitmentRow
from adapters.ledger.tables.runs import ForecastRunRow, MinerResponseRow
from adapters.ledger.tables.scores import ScoreFactRow

FieldCase = tuple[int, str, int]


class Committed(NamedTuple):
    """A commitment in time; `store` is what was verified of it, once it was."""

    hotkey: str
    commitment_digest: str
    object_count: int
    store: str | None


def committed_in_time(session: Session, run_id: str) -> list[Committed]:
    """By leaf index."""
    same = (MinerResponseRow.run_id == CommitmentRow.run_id) & (MinerResponseRow.hotkey == CommitmentRow.hotkey)
    chosen = (
        select(CommitmentRow, MinerResponseRow.manifest_digest)
        .join(ForecastRunRow, ForecastRunRow.run_id == CommitmentRow.run_id)
        .outerjoin(MinerResponseRow, same)
        .where(CommitmentRow.run_id == run_id, CommitmentRow.received_at <= ForecastRunRow.commit_deadline)
        .order_by(CommitmentRow.leaf_index)
    )
    return [
        Committed(row.hotkey, row.commitment_digest, row.commitment["object_count"], store)
        for row, store in session.execute(chosen)
    ]


def without_score(session: Session, run_id: str, hotkey: str, cases: Iterable[FieldCase]) -> list[FieldCase]:
    """Those of the cases (lead in hours, variable, level) in which the miner has no final fact."""
    columns = (ScoreFactRow.lead_hours, ScoreFactRow.variable, ScoreFactRow.level)
    mine = (ScoreFactRow.run_id == run_id, ScoreFactRow.hotkey == hotkey, ScoreFactRow.pass_ == "era5_final")
    scored = {tuple(row) for row in session.execute(select(*columns).where(*mine))}
    return [case for case in cases if case not in scored]
