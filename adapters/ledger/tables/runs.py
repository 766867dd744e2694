"""Runs, rosters, responses of miners, scoring jobs."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, ForeignKeyConstraint, Index
from sqlalchemy.orm import Mapped, mapped_column

from adapters.ledger import transitions
from adapters.ledger.tables.base import Row, one_of


class ForecastRunRow(Row):
    __tablename__ = "weather_forecast_runs"
    __table_args__ = (
        CheckConstraint(one_of("status", transitions.words(transitions.RUN)), "status"),
        CheckConstraint(one_of("outcome", ("closed", "closed_partial", "void")), "outcome"),
        CheckConstraint(
            "(status = 'completed') = (coalesce(outcome, '') IN ('closed', 'closed_partial'))", "completed"
        ),
        CheckConstraint("(status = 'error') = (coalesce(outcome, '') = 'void')", "error"),
        CheckConstraint("(outcome IS NULL) = (closed_at IS NULL)", "closed_at"),
        CheckConstraint(one_of("purpose", ("live", "hindcast")), "purpose"),
        CheckConstraint(one_of("review", ("pass", "fail")), "review"),
        Index("ix_run_outcome", "run_id", "outcome", unique=True),
    )

    run_id: Mapped[str] = mapped_column(primary_key=True)
    network: Mapped[str]
    validator_hotkey: Mapped[str]
    purpose: Mapped[str]
    init_time: Mapped[datetime]
    grid: Mapped[str]
    layout_digest: Mapped[str]
    score_spec_digest: Mapped[str]
    case_set_digest: Mapped[str]
    close_by: Mapped[datetime]
    opened_at: Mapped[datetime]
    config: Mapped[dict[str, Any]]
    status: Mapped[str]
    status_ordinal: Mapped[int]
    roster_digest: Mapped[str | None]
    requested_at: Mapped[datetime | None]
    commit_deadline: Mapped[datetime | None]
    first_lead_hours: Mapped[int | None]
    call_digest: Mapped[str | None]
    call_document: Mapped[str | None]
    input_data_hash: Mapped[str | None]
    bundle_digest: Mapped[str | None]
    held_by: Mapped[str | None]
    review: Mapped[str | None]
    outcome: Mapped[str | None]
    outcome_reason: Mapped[str | None]
    coverage: Mapped[str | None]
    facts_digest: Mapped[str | None]
    faults_digest: Mapped[str | None]
    closed_at: Mapped[datetime | None]


class RunTransitionRow(Row):
    __tablename__ = "run_transitions"

    run_id: Mapped[str] = mapped_column(ForeignKey(ForecastRunRow.run_id), primary_key=True)
    ordinal: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    origin: Mapped[str | None]
    target: Mapped[str]
    reason: Mapped[str]
    at: Mapped[datetime]


class RosterRow(Row):
    __tablename__ = "rosters"

    run_id: Mapped[str] = mapped_column(ForeignKey(ForecastRunRow.run_id), primary_key=True)
    hotkey: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    base_url: Mapped[str]
    uid: Mapped[int | None]
    tls_sha256: Mapped[str | None]


class RosterEventRow(Row):
    __tablename__ = "roster_events"
    __table_args__ = (
        ForeignKeyConstraint(["run_id", "hotkey"], [RosterRow.run_id, RosterRow.hotkey]),
        CheckConstraint(one_of("kind", ("deregistered",)), "kind"),
    )

    run_id: Mapped[str] = mapped_column(primary_key=True)
    hotkey: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(primary_key=True)
    at: Mapped[datetime]
    block: Mapped[int | None]


class MinerResponseRow(Row):
    __tablename__ = "weather_miner_responses"
    __table_args__ = (
        ForeignKeyConstraint(["run_id", "hotkey"], [RosterRow.run_id, RosterRow.hotkey]),
        CheckConstraint(one_of("status", transitions.words(transitions.RESPONSE)), "status"),
    )

    run_id: Mapped[str] = mapped_column(primary_key=True)
    hotkey: Mapped[str] = mapped_column(primary_key=True)
    status: Mapped[str]
    status_ordinal: Mapped[int]
    code: Mapped[str | None]
    detail: Mapped[str]
    found: Mapped[str | None]
    expected: Mapped[str | None]
    input_data_hash: Mapped[str | None]
    manifest_digest: Mapped[str | None]
    updated_at: Mapped[datetime]


class ScoringJobRow(Row):
    __tablename__ = "weather_scoring_jobs"
    __table_args__ = (
        CheckConstraint(one_of("status", transitions.words(transitions.JOB)), "status"),
        CheckConstraint(one_of("score_type", ("day1_qc", "era5_final")), "score_type"),
        CheckConstraint("(status = 'failed') = (code IS NOT NULL)", "code"),
    )

    run_id: Mapped[str] = mapped_column(ForeignKey(ForecastRunRow.run_id), primary_key=True)
    score_type: Mapped[str] = mapped_column(primary_key=True)
    lead_hours: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    generation: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    status: Mapped[str]
    code: Mapped[str | None]
    facts: Mapped[int]
    faults: Mapped[int]
    updated_at: Mapped[datetime]


class LikenessRow(Row):
    __tablename__ = "run_likeness"

    run_id: Mapped[str] = mapped_column(ForeignKey(ForecastRunRow.run_id), primary_key=True)
    likeness: Mapped[str]
