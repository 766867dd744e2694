"""What decides how a run closes, as the ledger has it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Row, inspect, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from adapters.ledger.roster import roster_of
from adapters.ledger.tables.scores import FaultRecordRow, ScoreFactRow
from protocol import facts
from protocol.facts import Scored
from weather.cases import CaseKey
from weather.round_score import FaultScope, RunRecord


def run_record(session: Session, run_id: str, *of_facts: ColumnElement[bool]) -> RunRecord:
    """Facts in force and all faults of a run, without a member of the roster that declined a hindcast."""
    of_run = [ScoreFactRow.run_id == run_id, *of_facts]
    scored = _rows(session, ScoreFactRow, of_run, ScoreFactRow.truth_version, ScoreFactRow.score)
    evidence = (FaultRecordRow.effect, FaultRecordRow.code, FaultRecordRow.recorded_at)
    found = _rows(session, FaultRecordRow, [FaultRecordRow.run_id == run_id], *evidence)
    faults = sorted(found, key=lambda row: row.recorded_at)
    return facts.run_record(
        [row.hotkey for row in roster_of(session, run_id)],
        (Scored(row.hotkey, _case(row), row.generation, row.truth_version, row.score) for row in scored),
        [FaultScope(row.hotkey, _case(row), row.effect, row.code, row.generation) for row in faults],
    )


def _rows(
    session: Session,
    kind: type[ScoreFactRow] | type[FaultRecordRow],
    where: list[ColumnElement[bool]],
    *more: InstrumentedAttribute[Any],
) -> list[Any]:
    case = (kind.hotkey, kind.pass_, kind.lead_hours, kind.variable, kind.level, kind.region, kind.generation)
    chosen = select(*case, *more).where(*where)
    return list(session.execute(chosen.order_by(*inspect(kind).primary_key)))


def _case(row: Row[Any]) -> CaseKey:
    return CaseKey(row.pass_, row.lead_hours, row.variable, row.level, row.region)
