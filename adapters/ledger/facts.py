"""Score facts and fault records, written once and never changed; and what they say of how a run closes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Row, inspect, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from adapters.ledger.roster import roster_of
from adapters.ledger.rows import insert_absent
from adapters.ledger.tables.scores import FaultRecordRow, ScoreFactRow
from adapters.ledger.values import FaultRecord, ScoreFact
from protocol.facts import Scored, fact_document, fault_document
from protocol.facts import run_record as record_of
from weather.cases import CaseKey
from weather.faults import LedgerConflict
from weather.round_score import FaultScope, RunRecord

V = TypeVar("V", ScoreFact, FaultRecord)
Kind = type[ScoreFactRow] | type[FaultRecordRow]
AS_CLOSED = ScoreFactRow.revised_at.is_(None)


def record_facts(session: Session, facts: Sequence[ScoreFact]) -> None:
    """Insert those that are absent.

    Raises:
        LedgerConflict: a stored fact has another document; nothing is overwritten.
    """
    _record(session, ScoreFactRow, facts, fact_document)


def record_faults(session: Session, faults: Sequence[FaultRecord]) -> None:
    """Insert those that are absent; evidence of a repetition is not compared.

    Of faults that cost one miner its whole run, the first code stands.

    Raises:
        LedgerConflict: a stored record has another code or effect; nothing is overwritten.
    """
    _record(session, FaultRecordRow, faults, fault_document)


def facts_of(session: Session, run_id: str, *where: ColumnElement[bool]) -> list[ScoreFact]:
    """All facts that the close of a run knew, superseded ones too."""
    return newest_facts(session, run_id, AS_CLOSED, *where)


def newest_facts(session: Session, run_id: str, *where: ColumnElement[bool]) -> list[ScoreFact]:
    """Those facts, and what newer truth has scored since."""
    return _stored(session, ScoreFactRow, ScoreFact, ScoreFactRow.run_id == run_id, *where)


def faults_of(session: Session, run_id: str) -> list[FaultRecord]:
    """All fault records of a run, in the order in which they became final."""
    return sorted(
        _stored(session, FaultRecordRow, FaultRecord, FaultRecordRow.run_id == run_id),
        key=lambda fault: fault.recorded_at,
    )


def run_record(session: Session, run_id: str, *of_facts: ColumnElement[bool]) -> RunRecord:
    """All faults of a run and the facts in force at its close, without who declined a hindcast."""
    return newest_record(session, run_id, AS_CLOSED, *of_facts)


def newest_record(session: Session, run_id: str, *of_facts: ColumnElement[bool]) -> RunRecord:
    """The same with the facts that are in force now."""
    of_run = [ScoreFactRow.run_id == run_id, *of_facts]
    scored = _rows(session, ScoreFactRow, of_run, ScoreFactRow.truth_version, ScoreFactRow.score)
    evidence = (FaultRecordRow.effect, FaultRecordRow.code, FaultRecordRow.recorded_at)
    found = _rows(session, FaultRecordRow, [FaultRecordRow.run_id == run_id], *evidence)
    faults = sorted(found, key=lambda row: row.recorded_at)
    return record_of(
        [row.hotkey for row in roster_of(session, run_id)],
        (Scored(row.hotkey, _case(row), row.generation, row.truth_version, row.score) for row in scored),
        [FaultScope(row.hotkey, _case(row), row.effect, row.code, row.generation) for row in faults],
    )


def _record(session: Session, kind: Kind, values: Sequence[V], document: Callable[[V], bytes]) -> None:
    digests = {hashlib.sha256(document(value)).hexdigest(): value for value in values}
    if not digests:
        return
    rows = [_columns(value) | {"digest": digest} for digest, value in sorted(digests.items())]
    insert_absent(session, kind, rows)
    runs, leads = {value.run_id for value in values}, {value.lead_hours for value in values}
    chosen = select(kind.digest).where(kind.run_id.in_(runs), kind.lead_hours.in_(leads))
    for digest in digests.keys() - set(session.scalars(chosen)):
        if isinstance(digests[digest], FaultRecord) and digests[digest].costs_the_run:
            continue
        scope = document(digests[digest]).decode()
        raise LedgerConflict(f"{kind.__tablename__} holds another value under this key", found=scope)


def _columns(value: ScoreFact | FaultRecord) -> dict[str, Any]:
    columns = value.model_dump()
    columns["pass"] = columns.pop("pass_")
    return columns


def _stored(session: Session, kind: Kind, value: type[V], *where: ColumnElement[bool]) -> list[V]:
    columns = [attribute.columns[0].label(attribute.key) for attribute in inspect(kind).column_attrs]
    chosen = select(*[column for column in columns if column.name != "digest"]).where(*where)
    return [
        value.model_validate(row) for row in session.execute(chosen.order_by(*inspect(kind).primary_key)).mappings()
    ]


def _rows(
    session: Session,
    kind: Kind,
    where: list[ColumnElement[bool]],
    *more: InstrumentedAttribute[Any],
) -> list[Any]:
    case = (kind.hotkey, kind.pass_, kind.lead_hours, kind.variable, kind.level, kind.region, kind.generation)
    chosen = select(*case, *more).where(*where)
    return list(session.execute(chosen.order_by(*inspect(kind).primary_key)))


def _case(row: Row[Any]) -> CaseKey:
    return CaseKey(row.pass_, row.lead_hours, row.variable, row.level, row.region)
