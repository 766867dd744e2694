"""Miners that copy others: bit for bit in one run, or nearly over a season of runs.

The database compares and counts fields, so that few rows are read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection
from datetime import datetime

from sqlalchemy import Subquery, Text, func, or_, select, type_coerce
from sqlalchemy.orm import Session

from adapters.ledger.commitments import leaf_order
from adapters.ledger.runs import earlier_runs
from adapters.ledger.tables.commitments import CommitmentRow
from adapters.ledger.tables.runs import ForecastRunRow
from adapters.ledger.tables.scores import LikenessRow, ScoreFactRow
from adapters.ledger.values import FaultRecord
from weather.clones import SEASON_RUNS, THRESHOLD, Likeness, NearCopy, exact_clones, near_copies
from weather.faults import ExactClone, NearClone
from weather.score_spec import GATE

_FIELD = (ScoreFactRow.hotkey, ScoreFactRow.lead_hours, ScoreFactRow.variable, ScoreFactRow.level)
_COMMITTED = (CommitmentRow.run_id == ScoreFactRow.run_id) & (CommitmentRow.hotkey == ScoreFactRow.hotkey)


def clone_faults(
    session: Session, run_id: str, inputs: Callable[[], Collection[str]], at: datetime
) -> list[FaultRecord]:
    """`ExactClone` of a run as it is scored so far.

    Public baselines are the climatology and the public forecasts that a field was scored beside, and the `inputs`
    of the run, by field digest: who repeats the analysis copies nobody.
    """
    if not (copied := _copied(session, run_id, ())):
        return []
    if not (copied := _copied(session, run_id, inputs())):
        return []
    return [
        FaultRecord(
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
        for copy in exact_clones(copied, _scored(session, run_id))
    ]


def near_clone_faults(session: Session, run: ForecastRunRow, found: Likeness, at: datetime) -> list[FaultRecord]:
    """Keep the evidence of a run; `NearClone` for the later leaf of each pair that a season of it proves."""
    session.merge(LikenessRow(run_id=run.run_id, likeness=found.model_dump_json()))
    order = leaf_order(session, run.run_id)
    copies: dict[str, tuple[str, NearCopy]] = {}
    for pair in near_copies([*_season(session, run), found]):
        owner, copy = sorted((pair.one, pair.other), key=order.__getitem__)
        copies.setdefault(copy, (owner, pair))
    return [
        FaultRecord(
            run_id=run.run_id,
            hotkey=copy,
            code=NearClone.__name__,
            cause=NearClone.cause,
            effect="W",
            detail=f"its own part is that of {owner}, which committed earlier",
            found=f"similarity {pair.similarity:.3f} over {pair.runs} runs and {pair.components} fields",
            expected=f"less than {THRESHOLD}",
            recorded_at=at,
        )
        for copy, (owner, pair) in copies.items()
    ]


def _copied(session: Session, run_id: str, inputs: Collection[str]) -> dict[str, Counter[str]]:
    """How many fields each miner has of each one that committed before it, but for public ones."""
    owned = _owned(run_id, inputs)
    later = (
        select(*_FIELD, owned.c.leaf)
        .join(owned, owned.c.digest == ScoreFactRow.forecast_digest)
        .join(CommitmentRow, _COMMITTED)
        .where(ScoreFactRow.run_id == run_id, owned.c.leaf < CommitmentRow.leaf_index)
        .distinct()
        .subquery()
    )
    owners = {leaf: hotkey for hotkey, leaf in leaf_order(session, run_id).items()}
    copied: dict[str, Counter[str]] = {}
    counted = select(later.c.hotkey, later.c.leaf, func.count()).group_by(later.c.hotkey, later.c.leaf)
    for hotkey, leaf, count in session.execute(counted):
        copied.setdefault(hotkey, Counter())[owners[leaf]] = count
    return copied


def _owned(run_id: str, inputs: Collection[str]) -> Subquery:
    """Fields of several miners that are not public, with the first leaf that has each."""
    digest, here = ScoreFactRow.forecast_digest, ScoreFactRow.run_id == run_id
    several = select(digest).where(here).group_by(digest).having(func.count(ScoreFactRow.hotkey.distinct()) > 1)
    beside = type_coerce(ScoreFactRow.reference_digests, Text).contains(digest)
    public = select(digest).where(here, digest.in_(several), or_(digest == ScoreFactRow.climatology_digest, beside))
    return (
        select(digest.label("digest"), func.min(CommitmentRow.leaf_index).label("leaf"))
        .join(CommitmentRow, _COMMITTED)
        .where(here, digest.in_(several), digest.not_in(public), digest.not_in(inputs))
        .group_by(digest)
        .subquery()
    )


def _scored(session: Session, run_id: str) -> dict[str, int]:
    fields = select(*_FIELD).where(ScoreFactRow.run_id == run_id, ScoreFactRow.variable != GATE).distinct().subquery()
    counted = select(fields.c.hotkey, func.count()).group_by(fields.c.hotkey)
    return dict(session.execute(counted).all())


def _season(session: Session, run: ForecastRunRow) -> list[Likeness]:
    """Evidence of the runs before, the latest last."""
    other = ForecastRunRow
    chosen = (
        select(LikenessRow.likeness)
        .join(other)
        .where(earlier_runs(run))
        .order_by(other.init_time.desc())
        .limit(SEASON_RUNS - 1)
    )
    return [Likeness.model_validate_json(found) for found in session.scalars(chosen)][::-1]
