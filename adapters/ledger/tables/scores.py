"""Score facts, fault records and the scores frozen at close."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, ForeignKeyConstraint, Index
from sqlalchemy.orm import Mapped, mapped_column

from adapters.ledger.tables.base import Level, Row, one_of
from adapters.ledger.tables.runs import ForecastRunRow

SCORE_IN_RANGE = "score_nano BETWEEN 0 AND 1000000000"
PASSES = one_of("pass", ("day1_qc", "era5_final"))


class CaseKey:
    run_id: Mapped[str] = mapped_column(ForeignKey(ForecastRunRow.run_id), primary_key=True)
    hotkey: Mapped[str] = mapped_column(primary_key=True)
    pass_: Mapped[str] = mapped_column("pass", primary_key=True)
    lead_hours: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    variable: Mapped[str] = mapped_column(primary_key=True)
    level: Mapped[int] = mapped_column(Level, primary_key=True, autoincrement=False)
    region: Mapped[str] = mapped_column(primary_key=True)
    generation: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    digest: Mapped[str]


class ScoreFactRow(CaseKey, Row):
    __tablename__ = "weather_forecast_component_scores"
    __table_args__ = (
        CheckConstraint(
            "(score IS NOT NULL AND score BETWEEN 0 AND 1) OR (score IS NULL AND pass = 'day1_qc')", "score"
        ),
        CheckConstraint(PASSES, "pass"),
        CheckConstraint(one_of("truth_version", ("gfs_analysis", "era5t", "era5")), "truth_version"),
        CheckConstraint(one_of("kind", ("live", "hindcast")), "kind"),
        Index("ix_fields_by_digest", "run_id", "forecast_digest", "hotkey"),
    )

    spec_digest: Mapped[str] = mapped_column(primary_key=True)
    truth_version: Mapped[str] = mapped_column(primary_key=True)
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


class FaultRecordRow(CaseKey, Row):
    __tablename__ = "fault_records"
    __table_args__ = (
        CheckConstraint("code <> ''", "code"),
        CheckConstraint(one_of("cause", ("miner", "policy", "source", "platform")), "cause"),
        CheckConstraint(
            "(effect = 'W' AND cause IN ('miner', 'policy') AND hotkey <> '*') OR (effect = 'V' AND cause <> 'miner')",
            "effect",
        ),
    )

    code: Mapped[str]
    cause: Mapped[str]
    effect: Mapped[str]
    detail: Mapped[str]
    found: Mapped[str | None]
    expected: Mapped[str | None]
    attempts: Mapped[list[Any]]
    recorded_at: Mapped[datetime]


class RoundScoreRow(Row):
    __tablename__ = "score_table"
    __table_args__ = (CheckConstraint(SCORE_IN_RANGE, "score_nano"),)

    run_id: Mapped[str] = mapped_column(ForeignKey(ForecastRunRow.run_id), primary_key=True)
    hotkey: Mapped[str] = mapped_column(primary_key=True)
    score_nano: Mapped[int]
    rank: Mapped[int | None]
    code: Mapped[str | None]


class GroupScoreRow(Row):
    __tablename__ = "round_group_scores"
    __table_args__ = (
        ForeignKeyConstraint(["run_id", "hotkey"], [RoundScoreRow.run_id, RoundScoreRow.hotkey]),
        CheckConstraint(SCORE_IN_RANGE, "score_nano"),
    )

    run_id: Mapped[str] = mapped_column(primary_key=True)
    hotkey: Mapped[str] = mapped_column(primary_key=True)
    group_name: Mapped[str] = mapped_column(primary_key=True)
    score_nano: Mapped[int]


class LeadScoreRow(Row):
    __tablename__ = "weather_miner_scores"
    __table_args__ = (CheckConstraint(SCORE_IN_RANGE, "score_nano"), CheckConstraint(PASSES, "pass"))

    run_id: Mapped[str] = mapped_column(ForeignKey(ForecastRunRow.run_id), primary_key=True)
    hotkey: Mapped[str] = mapped_column(primary_key=True)
    pass_: Mapped[str] = mapped_column("pass", primary_key=True)
    lead_hours: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    score_nano: Mapped[int]
