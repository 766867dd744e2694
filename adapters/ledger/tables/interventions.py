"""What operators did."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint
from sqlalchemy.orm import Mapped, mapped_column

from adapters.ledger.tables.base import Row, one_of


class InterventionRow(Row):
    """`state_before` is that of the run, `answer` what its workflow was told, blast radius included."""

    __tablename__ = "interventions"
    __table_args__ = (
        CheckConstraint(one_of("state", ("acted", "awaits_second_actor")), "state"),
        CheckConstraint("length(reason) BETWEEN 1 AND 500", "reason"),
    )

    workflow_id: Mapped[str] = mapped_column(primary_key=True)
    request_id: Mapped[str] = mapped_column(primary_key=True)
    verb: Mapped[str]
    actor: Mapped[str]
    reason: Mapped[str]
    scope: Mapped[str]
    state: Mapped[str]
    generation: Mapped[int]
    state_before: Mapped[dict[str, Any]]
    answer: Mapped[dict[str, Any]]
    at: Mapped[datetime]
