"""Lifecycle events, written in the transaction of the change that they report."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple
from uuid import NAMESPACE_URL, uuid5

from sqlalchemy import select
from sqlalchemy.orm import Session

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
    """Store the event."""
    session.add(event_row(run.validator_hotkey, run.run_id, change))


def event_row(validator: str, workflow_id: str, change: Change) -> EventRow:
    """The event of a validator's workflow."""
    return EventRow(
        id=event_id(change),
        type=PREFIX + change.type,
        source=f"/validators/{validator}/{workflow_id}",
        subject=change.subject,
        time=change.at,
        data={"run": workflow_id} | change.data,
    )


def event_id(change: Change) -> str:
    """A function of type, subject and key."""
    return str(uuid5(NAMESPACE, f"{PREFIX}{change.type}|{change.subject}|{change.key}"))


def events_of(session: Session, run_id: str) -> list[EventRow]:
    """All events of a run, its miners and its passes, in order of time."""
    chosen = (EventRow.subject == run_id) | EventRow.subject.startswith(f"{run_id}/", autoescape=True)
    return list(session.scalars(select(EventRow).where(chosen).order_by(EventRow.time, EventRow.id)))
