"""What decides how a run closes, as integers by miner and case."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row, inspect, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from adapters.ledger.roster import roster_of
from adapters.ledger.tables.scores import FaultRecordRow, ScoreFactRow
from protocol.facts import TRUTH_VERSIONS
from weather.cases import CaseKey
from weather.faults import HindcastDeclined
from weather.final_score import nano
from weather.round_score import FaultScope, RunRecord

ENTRANT = "baseline/"


def run_record(session: Session, run_id: str) -> RunRecord:
    """Facts in force and all faults of a run, without a member of the roster that declined a hindcast."""
    scored = _rows(session, ScoreFactRow, run_id, ScoreFactRow.truth_version, ScoreFactRow.score)
    facts = {(row.hotkey, _case(row)): row for row in sorted(scored, key=_force)}
    found = _rows(
        session, FaultRecordRow, run_id, FaultRecordRow.effect, FaultRecordRow.code, FaultRecordRow.recorded_at
    )
    faults = sorted(found, key=lambda row: row.recorded_at)
    declined = {row.hotkey for row in faults if row.code == HindcastDeclined.__name__}
    return RunRecord(
        roster=tuple(row.hotkey for row in roster_of(session, run_id) if row.hotkey not in declined),
        scores={pair: nano(row.score) for pair, row in facts.items() if row.score is not None},
        faults=[FaultScope(row.hotkey, _case(row), row.effect, row.code, row.generation) for row in faults],
        generations={pair: row.generation for pair, row in facts.items()},
        entrants=tuple(sorted({hotkey for hotkey, _ in facts if hotkey.startswith(ENTRANT)})),
    )


def _rows(
    session: Session, kind: type[ScoreFactRow] | type[FaultRecordRow], run_id: str, *more: InstrumentedAttribute[Any]
) -> list[Any]:
    case = (kind.hotkey, kind.pass_, kind.lead_hours, kind.variable, kind.level, kind.region, kind.generation)
    chosen = select(*case, *more).where(kind.run_id == run_id)
    return list(session.execute(chosen.order_by(*inspect(kind).primary_key)))


def _force(row: Row[Any]) -> tuple[int, int]:
    return row.generation, TRUTH_VERSIONS.index(row.truth_version)


def _case(row: Row[Any]) -> CaseKey:
    return CaseKey(row.pass_, row.lead_hours, row.variable, row.level, row.region)
