"""Secrets of runs, and the retention audits that they choose."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, ForeignKeyConstraint
from sqlalchemy.orm import Mapped, mapped_column

from adapters.ledger.tables.base import Row, one_of
from adapters.ledger.tables.commitments import CommitmentRow
from adapters.ledger.tables.runs import ForecastRunRow


class SecretRow(Row):
    """`sealed` is readable with the validator's key only; `digest` is what may be told."""

    __tablename__ = "run_secrets"

    run_id: Mapped[str] = mapped_column(ForeignKey(ForecastRunRow.run_id), primary_key=True)
    purpose: Mapped[str] = mapped_column(primary_key=True)
    sealed: Mapped[str]
    digest: Mapped[str]


class AuditRow(Row):
    """`code` says why an audit is void; `faults` are the objects that were not served as committed."""

    __tablename__ = "retention_audits"
    __table_args__ = (
        ForeignKeyConstraint(["run_id", "hotkey"], [CommitmentRow.run_id, CommitmentRow.hotkey]),
        CheckConstraint(one_of("outcome", ("kept", "failed", "void")), "outcome"),
        CheckConstraint("(outcome = 'void') = (code IS NOT NULL)", "code"),
    )

    run_id: Mapped[str] = mapped_column(primary_key=True)
    hotkey: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    due: Mapped[datetime]
    recorded_at: Mapped[datetime]
    outcome: Mapped[str]
    code: Mapped[str | None]
    faults: Mapped[list[Any]]
