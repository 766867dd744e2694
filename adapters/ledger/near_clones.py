"""Evidence of near copies, kept for each run, and what a season of it says."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from adapters.ledger.tables.commitments import CommitmentRow
from adapters.ledger.tables.runs import ForecastRunRow
from adapters.ledger.tables.scores import LikenessRow
from adapters.ledger.values import FaultRecord
from weather.faults import NearClone
from weather.near_clones import SEASON_RUNS, THRESHOLD, Likeness, NearCopy, near_copies


def near_clone_faults(session: Session, run: ForecastRunRow, found: Likeness, at: datetime) -> list[FaultRecord]:
    """Keep the evidence of a run; `NearClone` for the later leaf of each pair that a season of it proves."""
    session.merge(LikenessRow(run_id=run.run_id, likeness=found.model_dump_json()))
    leaves = select(CommitmentRow.hotkey, CommitmentRow.leaf_index).where(CommitmentRow.run_id == run.run_id)
    order = {row[0]: row[1] for row in session.execute(leaves)}
    copies: dict[str, tuple[str, NearCopy]] = {}
    for pair in near_copies([*_season(session, run), found]):
        owner, copy = sorted((pair.one, pair.other), key=order.__getitem__)
        copies.setdefault(copy, (owner, pair))
    return [_fault(run.run_id, copy, *proof, at) for copy, proof in copies.items()]


def _season(session: Session, run: ForecastRunRow) -> list[Likeness]:
    """Evidence of the runs before, the latest last; in a campaign, of its own."""
    other, prefix = ForecastRunRow, run.run_id.rpartition("/")[0]
    chosen = (
        select(LikenessRow.likeness)
        .join(other, other.run_id == LikenessRow.run_id)
        .where(
            other.network == run.network,
            other.run_id.startswith(f"{prefix}/"),
            other.score_spec_digest == run.score_spec_digest,
            other.init_time < run.init_time,
        )
        .order_by(other.init_time.desc())
        .limit(SEASON_RUNS - 1)
    )
    return [Likeness.model_validate_json(found) for found in session.scalars(chosen)][::-1]


def _fault(run_id: str, copy: str, owner: str, pair: NearCopy, at: datetime) -> FaultRecord:
    return FaultRecord(
        run_id=run_id,
        hotkey=copy,
        code=NearClone.__name__,
        cause=NearClone.cause,
        effect="W",
        detail=f"its own part is that of {owner}, which committed earlier",
        found=f"similarity {pair.similarity:.3f} over {pair.runs} runs and {pair.components} fields",
        expected=f"less than {THRESHOLD}",
        recorded_at=at,
    )
