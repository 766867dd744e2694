"""Tables of the proof of absence."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKeyConstraint
from sqlalchemy.orm import Mapped, mapped_column

from adapters.ledger.tables.base import Row
from adapters.ledger.tables.runs import RosterRow


class IngressMarkRow(Row):
    __tablename__ = "ingress_marks"

    at: Mapped[datetime] = mapped_column(primary_key=True)


class LastWordRow(Row):
    __tablename__ = "last_words"
    __table_args__ = (ForeignKeyConstraint(["run_id", "hotkey"], [RosterRow.run_id, RosterRow.hotkey]),)

    run_id: Mapped[str] = mapped_column(primary_key=True)
    hotkey: Mapped[str] = mapped_column(primary_key=True)
    at: Mapped[datetime]
    code: Mapped[str]
    cause: Mapped[str]
