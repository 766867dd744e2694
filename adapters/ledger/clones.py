"""Fields that several miners of a run have bit for bit; the database compares, so that few rows are read."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from adapters.ledger.tables.commitments import CommitmentRow
from adapters.ledger.tables.scores import ScoreFactRow
from adapters.ledger.values import FaultRecord
from protocol.clones import Copy, ScoredField, exact_clones
from weather.faults import ExactClone
from weather.score_spec import GATE

_FIELD = (ScoreFactRow.hotkey, ScoreFactRow.lead_hours, ScoreFactRow.variable, ScoreFactRow.level)


def clone_faults(
    session: Session, run_id: str, inputs: Callable[[], Collection[str]], at: datetime
) -> list[FaultRecord]:
    """`ExactClone` of a run as it is scored so far.

    Public baselines are the climatology and the public forecasts that a field was scored beside, and the `inputs`
    of the run, by field digest: who repeats the analysis copies nobody.
    """
    rows = _shared(session, run_id)
    public = {row.digest for row in rows if row.digest in (row.climatology, *row.references.values())}
    if {row.digest for row in rows} <= public:
        return []
    public |= set(inputs())
    fields = {(*row[:4], row.digest) for row in rows if row.digest not in public}
    shared = [ScoredField(hotkey, digest) for hotkey, *_, digest in fields]
    order = select(CommitmentRow.hotkey).where(CommitmentRow.run_id == run_id).order_by(CommitmentRow.leaf_index)
    copies = exact_clones(shared, _scored(session, run_id), session.scalars(order).all())
    return [_fault(run_id, copy, at) for copy in copies]


def _shared(session: Session, run_id: str) -> Sequence[Any]:
    """Each scored field that several miners have, with what it was scored beside."""
    of_several = (
        select(ScoreFactRow.forecast_digest)
        .where(ScoreFactRow.run_id == run_id)
        .group_by(ScoreFactRow.forecast_digest)
        .having(func.count(ScoreFactRow.hotkey.distinct()) > 1)
    )
    digest = ScoreFactRow.forecast_digest.label("digest")
    beside = (ScoreFactRow.climatology_digest.label("climatology"), ScoreFactRow.reference_digests.label("references"))
    same = (CommitmentRow.run_id == ScoreFactRow.run_id) & (CommitmentRow.hotkey == ScoreFactRow.hotkey)
    chosen = select(*_FIELD, digest, *beside).join(CommitmentRow, same)
    return session.execute(chosen.where(ScoreFactRow.run_id == run_id, digest.in_(of_several))).all()


def _scored(session: Session, run_id: str) -> dict[str, int]:
    fields = select(*_FIELD).where(ScoreFactRow.run_id == run_id, ScoreFactRow.variable != GATE).distinct().subquery()
    counted = select(fields.c.hotkey, func.count()).group_by(fields.c.hotkey)
    return {row[0]: row[1] for row in session.execute(counted)}


def _fault(run_id: str, copy: Copy, at: datetime) -> FaultRecord:
    return FaultRecord(
        run_id=run_id,
        hotkey=copy.hotkey,
        code=ExactClone.__name__,
        cause=ExactClone.cause,
        effect="W",
        detail=f"fields of an earlier commitment, most of them of {copy.owner}",
        found=f"{copy.copied} of {copy.scored} scored fields",
        expected="less than a tenth",
        recorded_at=at,
    )
