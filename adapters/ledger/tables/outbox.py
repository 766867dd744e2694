"""What the round backend is to be told."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from adapters.ledger.tables.base import Row, one_of
from adapters.ledger.tables.runs import ForecastRunRow
from protocol.round_backend import OPERATIONS, STATES


class OutboxRow(Row):
    """`rule` is what the last answer met, `attempts` how many in a row met it, `status` and `code` what it said."""

    __tablename__ = "round_outbox"
    __table_args__ = (
        CheckConstraint(one_of("operation", OPERATIONS), "operation"),
        CheckConstraint(one_of("state", STATES), "state"),
        Index(None, "run_id", "state"),
    )

    key: Mapped[str] = mapped_column(primary_key=True)
    run_id: Mapped[str] = mapped_column(ForeignKey(ForecastRunRow.run_id))
    operation: Mapped[str]
    item: Mapped[str]
    body: Mapped[str]
    state: Mapped[str]
    rule: Mapped[str]
    attempts: Mapped[int]
    status: Mapped[int | None]
    code: Mapped[str | None]
    next_at: Mapped[datetime]
