"""Score facts, fault records, ensembles, likeness, and the scores frozen at close."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKeyConstraint, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from adapters.ledger.tables.base import Key, Level, NumberKey, Row, RunKey

KEY = ("run_id", "pass", "lead_hours", "generation")


class CaseKey:
    run_id: Mapped[RunKey]
    hotkey: Mapped[Key]
    pass_: Mapped[Key] = mapped_column("pass")
    lead_hours: Mapped[NumberKey]
    variable: Mapped[Key]
    level: Mapped[int] = mapped_column(Level, primary_key=True, autoincrement=False)
    region: Mapped[Key]
    generation: Mapped[NumberKey]
    digest: Mapped[str]


class ScoreFactRow(CaseKey, Row):
    __tablename__ = "weather_forecast_component_scores"
    __table_args__ = (Index("ix_fields_by_digest", "run_id", "forecast_digest", "hotkey"),)

    spec_digest: Mapped[Key]
    truth_version: Mapped[Key]
    kind: Mapped[str]
    valid_time: Mapped[datetime]
    forecast_digest: Mapped[str]
    truth_digest: Mapped[str]
    climatology_digest: Mapped[str]
    reference_digests: Mapped[dict[str, str]]
    sums: Mapped[dict[str, float]]
    score: Mapped[float | None]
    checks: Mapped[dict[str, Any]]
    kernel_order: Mapped[str]
    package_version: Mapped[str]
    scored_at: Mapped[datetime]
    revised_at: Mapped[datetime | None]


class FaultRecordRow(CaseKey, Row):
    __tablename__ = "fault_records"

    code: Mapped[str]
    cause: Mapped[str]
    effect: Mapped[str]
    detail: Mapped[str]
    found: Mapped[str | None]
    expected: Mapped[str | None]
    attempts: Mapped[list[Any]]
    recorded_at: Mapped[datetime]


class TruthRevisionRow(Row):
    """A newer truth of one lead of a run; fields that are neither rescored nor refused were confirmed.

    `refused` holds [variable, level, reason]. `scores` are R and p of everybody by all truth up to this row, which is
    the `ordinal`th of its run; empty if the run was open.
    """

    __tablename__ = "truth_revisions"
    __table_args__ = (UniqueConstraint("run_id", "ordinal"),)

    run_id: Mapped[RunKey]
    lead_hours: Mapped[NumberKey]
    truth_version: Mapped[Key]
    ordinal: Mapped[int]
    truth_digest: Mapped[str]
    rescored: Mapped[int]
    confirmed: Mapped[int]
    refused: Mapped[list[Any]]
    report_digest: Mapped[str]
    scores: Mapped[dict[str, Any]]
    recorded_at: Mapped[datetime]


class RoundScoreRow(Row):
    __tablename__ = "score_table"

    run_id: Mapped[RunKey]
    hotkey: Mapped[Key]
    score_nano: Mapped[int]
    rank: Mapped[int | None]
    code: Mapped[str | None]


class GroupScoreRow(Row):
    __tablename__ = "round_group_scores"
    __table_args__ = (ForeignKeyConstraint(["run_id", "hotkey"], [RoundScoreRow.run_id, RoundScoreRow.hotkey]),)

    run_id: Mapped[Key]
    hotkey: Mapped[Key]
    group_name: Mapped[Key]
    score_nano: Mapped[int]


class LeadScoreRow(Row):
    __tablename__ = "weather_miner_scores"

    run_id: Mapped[RunKey]
    hotkey: Mapped[Key]
    pass_: Mapped[Key] = mapped_column("pass")
    lead_hours: Mapped[NumberKey]
    score_nano: Mapped[int]


class EnsembleForecastRow(Row):
    """The ensemble of one lead; without a row there is none, since fewer than two miners could be members.

    `weights_digest` names the document of the weights, `fields_digest` the field set, both as one pass made them.
    """

    __tablename__ = "weather_ensemble_forecasts"

    run_id: Mapped[RunKey]
    pass_: Mapped[Key] = mapped_column("pass")
    lead_hours: Mapped[NumberKey]
    generation: Mapped[NumberKey]
    spec_digest: Mapped[str]
    weights_digest: Mapped[str]
    fields_digest: Mapped[str | None]
    status: Mapped[str]
    code: Mapped[str | None]
    recorded_at: Mapped[datetime]


class EnsembleComponentRow(Row):
    __tablename__ = "weather_ensemble_components"
    __table_args__ = (ForeignKeyConstraint(KEY, [f"weather_ensemble_forecasts.{name}" for name in KEY]),)

    run_id: Mapped[Key]
    pass_: Mapped[Key] = mapped_column("pass")
    lead_hours: Mapped[NumberKey]
    generation: Mapped[NumberKey]
    variable: Mapped[Key]
    hotkey: Mapped[Key]
    weight: Mapped[float]


class LikenessRow(Row):
    __tablename__ = "run_likeness"

    run_id: Mapped[RunKey]
    likeness: Mapped[str]
