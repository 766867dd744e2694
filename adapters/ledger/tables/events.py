"""Events of the validator's lifecycle, as CloudEvents."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Index
from sqlalchemy.orm import Mapped, mapped_column

from adapters.ledger.tables.base import Row


class EventRow(Row):
    __tablename__ = "events"
    __table_args__ = (Index(None, "subject", "time"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    type: Mapped[str]
    source: Mapped[str]
    subject: Mapped[str]
    time: Mapped[datetime]
    data: Mapped[dict[str, Any]]
