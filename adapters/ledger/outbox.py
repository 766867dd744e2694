"""The outbox of the round backend: written with the change that it reports, delivered later, kind after kind."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from datetime import datetime

from sqlalchemy import Select, select, update
from sqlalchemy.orm import Session

from adapters.ledger.rows import insert_if_absent, locked
from adapters.ledger.tables.runs import ForecastRunRow, OutboxRow
from protocol.canonical import J
from protocol.round_backend import (
    ASKED_NEXT,
    BATCH,
    BATCHED,
    KEPT_AFTER_CLOSE,
    OPERATIONS,
    Operation,
    Reply,
    idempotency_key,
    verdict,
)

log = logging.getLogger("barograph.outbox")


def enqueue(session: Session, run: ForecastRunRow, operation: Operation, item: str, body: Mapping[str, object]) -> None:
    """Store what is to be told, in the transaction of the change; again: the first row stands.

    Raises:
        LedgerConflict: another body is stored under this key.
    """
    row = OutboxRow(
        key=idempotency_key(operation, run.network, run.run_id, item),
        run_id=run.run_id,
        operation=operation,
        item=item,
        body=J(body).decode(),
        state="pending",
        rule="",
        attempts=0,
        next_at=run.opened_at,
    )
    insert_if_absent(session, row, ("body",))


def items_of(session: Session, run_id: str, operation: Operation) -> list[str]:
    """The items of a run of which this operation tells."""
    chosen = select(OutboxRow.item).where(OutboxRow.run_id == run_id, OutboxRow.operation == operation)
    return list(session.scalars(chosen))


def due(session: Session, run_id: str, now: datetime) -> list[OutboxRow]:
    """What the next call carries: one row, or evaluations that may share a batch; none before its time."""
    kind = _open_kind(session, run_id)
    ready = _pending(run_id).where(OutboxRow.operation == kind, OutboxRow.next_at <= now)
    rows = list(session.scalars(ready.order_by(OutboxRow.attempts, OutboxRow.key).limit(BATCH)))
    if kind != BATCHED or any(row.rule in ASKED_NEXT for row in rows[:1]):
        return rows[:1]
    return [row for row in rows if row.rule not in ASKED_NEXT]


def settle(session: Session, replies: Iterable[tuple[str, Reply]], now: datetime) -> None:
    """Judge each row by what came back for it."""
    for key, reply in replies:
        row = locked(session, OutboxRow, key)
        if row is None or row.state != "pending":
            continue
        judged = verdict(reply, row.rule, row.attempts)
        row.state, row.rule, row.attempts = judged.state, judged.rule.name, judged.attempts
        row.status, row.code, row.next_at = reply.status, reply.code, now + judged.pause
        if judged.state == "parked" or judged.rule.alarm:
            told = (row.state, row.operation, row.item, row.run_id, row.rule, row.status, row.code)
            log.error("%s: %s %s of %s; answer %s: status %s, code %s", *told)
        session.flush()
        of_run = update(OutboxRow).where(OutboxRow.run_id == row.run_id)
        if row.rule == "unknown":  # who does not answer is left alone
            sooner = of_run.where(OutboxRow.state == "pending", OutboxRow.next_at < row.next_at)
            session.execute(sooner.values(next_at=row.next_at))
        if row.rule == "lost":
            again = of_run.where(OutboxRow.state == "stored")
            session.execute(again.values(state="pending", rule="", attempts=0, next_at=now))


def expire(session: Session, run: ForecastRunRow, now: datetime) -> None:
    """Give up what is still pending long after the close."""
    if run.closed_at is None or now < run.closed_at + KEPT_AFTER_CLOSE:
        return
    left = list(session.scalars(_pending(run.run_id)))
    for row in left:
        row.state = "expired"
    if left:
        log.error("expired: %d operations of %s, the first is %s", len(left), run.run_id, left[0].operation)


def next_try(session: Session, run: ForecastRunRow) -> datetime | None:
    """When the next row is due, or what waits for a parked one is given up; none if that is not known."""
    pending = list(session.scalars(_pending(run.run_id)))
    kind = _open_kind(session, run.run_id)
    tries = [row.next_at for row in pending if row.operation == kind]
    given_up = [run.closed_at + KEPT_AFTER_CLOSE] if pending and run.closed_at is not None else []
    return min([*tries, *given_up], default=None)


def _pending(run_id: str) -> Select[OutboxRow]:
    return select(OutboxRow).where(OutboxRow.run_id == run_id, OutboxRow.state == "pending")


def _open_kind(session: Session, run_id: str) -> Operation | None:
    """The first kind of which not all rows are stored."""
    chosen = select(OutboxRow.operation).where(OutboxRow.run_id == run_id, OutboxRow.state != "stored").distinct()
    left = set(session.scalars(chosen))
    return next((operation for operation in OPERATIONS if operation in left), None)
