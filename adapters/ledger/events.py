"""Lifecycle events, written in the transaction of the change that they report."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple
from uuid import NAMESPACE_URL, uuid5

from sqlalchemy.orm import Session

from adapters.ledger.rows import insert_absent, insert_if_absent
from adapters.ledger.tables.runs import EventRow, ForecastRunRow

NAMESPACE = uuid5(NAMESPACE_URL, "urn:barograph:event:1")
PREFIX = "io.barograph."


class Change(NamedTuple):
    """What happened: the subject is a workflow id, the key tells changes of one type and subject apart."""

    type: str
    subject: str
    key: str
    at: datetime
    data: dict[str, Any]


def record_event(session: Session, run: ForecastRunRow, change: Change) -> None:
    """Store once what happened to a run; LedgerConflict if something else is stored under its id."""
    row = EventRow(**_columns(run.validator_hotkey, run.run_id, change))
    insert_if_absent(session, row, ["data"])


def put_event(session: Session, validator: str, workflow_id: str, change: Change) -> None:
    """Store what happened to a workflow of a validator; of what may end twice, the first end stands."""
    insert_absent(session, EventRow, [_columns(validator, workflow_id, change)])


def _columns(validator: str, workflow_id: str, change: Change) -> dict[str, Any]:
    """The id is a function of type, subject and key."""
    kind = PREFIX + change.type
    return {
        "id": str(uuid5(NAMESPACE, f"{kind}|{change.subject}|{change.key}")),
        "type": kind,
        "source": f"/validators/{validator}/{workflow_id}",
        "subject": change.subject,
        "time": change.at,
        "data": {"run": workflow_id} | change.data,
    }
