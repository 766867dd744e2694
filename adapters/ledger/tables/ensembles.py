"""Ensembles of the miners, and what each member weighed in them."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, ForeignKeyConstraint
from sqlalchemy.orm import Mapped, mapped_column

from adapters.ledger.tables.base import Row, one_of
from adapters.ledger.tables.runs import ForecastRunRow
from adapters.ledger.tables.scores import PASSES


class EnsembleForecastRow(Row):
    """The ensemble of one lead; without a row there is none, since fewer than two miners could be members.

    `weights_digest` names the document of the weights, `fields_digest` the field set, both as one pass made them.
    """

    __tablename__ = "weather_ensemble_forecasts"
    __table_args__ = (
        CheckConstraint(PASSES, "pass"),
        CheckConstraint(one_of("status", ("built", "failed")), "status"),
        CheckConstraint("(status = 'built') = (fields_digest IS NOT NULL)", "fields_digest"),
        CheckConstraint("(status = 'failed') = (code IS NOT NULL)", "code"),
    )

    run_id: Mapped[str] = mapped_column(ForeignKey(ForecastRunRow.run_id), primary_key=True)
    pass_: Mapped[str] = mapped_column("pass", primary_key=True)
    lead_hours: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    generation: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    spec_digest: Mapped[str]
    weights_digest: Mapped[str]
    fields_digest: Mapped[str | None]
    status: Mapped[str]
    code: Mapped[str | None]
    recorded_at: Mapped[datetime]


class EnsembleComponentRow(Row):
    __tablename__ = "weather_ensemble_components"
    __table_args__ = (
        ForeignKeyConstraint(
            ["run_id", "pass", "lead_hours", "generation"],
            [
                EnsembleForecastRow.run_id,
                EnsembleForecastRow.pass_,
                EnsembleForecastRow.lead_hours,
                EnsembleForecastRow.generation,
            ],
        ),
    )

    run_id: Mapped[str] = mapped_column(primary_key=True)
    pass_: Mapped[str] = mapped_column("pass", primary_key=True)
    lead_hours: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    generation: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    variable: Mapped[str] = mapped_column(primary_key=True)
    hotkey: Mapped[str] = mapped_column(primary_key=True)
    weight: Mapped[float]
