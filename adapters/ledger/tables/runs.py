"""Runs and their miners as they stand, what happened to them, and what others are to be told."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, ForeignKeyConstraint, Index
from sqlalchemy.orm import Mapped, mapped_column

from adapters.ledger.tables.base import Key, NumberKey, Row, RunKey


class ForecastRunRow(Row):
    __tablename__ = "weather_forecast_runs"
    __table_args__ = (Index("ix_run_outcome", "run_id", "outcome", unique=True),)

    run_id: Mapped[Key]
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

    run_id: Mapped[RunKey]
    ordinal: Mapped[NumberKey]
    origin: Mapped[str | None]
    target: Mapped[str]
    reason: Mapped[str]
    at: Mapped[datetime]


class RosterRow(Row):
    __tablename__ = "rosters"

    run_id: Mapped[RunKey]
    hotkey: Mapped[Key]
    name: Mapped[str]
    base_url: Mapped[str]
    uid: Mapped[int | None]
    tls_sha256: Mapped[str | None]


class RosterEventRow(Row):
    __tablename__ = "roster_events"
    __table_args__ = (ForeignKeyConstraint(["run_id", "hotkey"], [RosterRow.run_id, RosterRow.hotkey]),)

    run_id: Mapped[Key]
    hotkey: Mapped[Key]
    kind: Mapped[Key]
    at: Mapped[datetime]
    block: Mapped[int | None]


class MinerResponseRow(Row):
    __tablename__ = "weather_miner_responses"
    __table_args__ = (ForeignKeyConstraint(["run_id", "hotkey"], [RosterRow.run_id, RosterRow.hotkey]),)

    run_id: Mapped[Key]
    hotkey: Mapped[Key]
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

    run_id: Mapped[RunKey]
    score_type: Mapped[Key]
    lead_hours: Mapped[NumberKey]
    generation: Mapped[NumberKey]
    status: Mapped[str]
    code: Mapped[str | None]
    updated_at: Mapped[datetime]


class EventRow(Row):
    __tablename__ = "events"
    __table_args__ = (Index(None, "subject", "time"),)

    id: Mapped[Key]
    type: Mapped[str]
    source: Mapped[str]
    subject: Mapped[str]
    time: Mapped[datetime]
    data: Mapped[dict[str, Any]]


class InterventionRow(Row):
    """`state_before` is that of the run, `answer` what its workflow was told, blast radius included."""

    __tablename__ = "interventions"

    workflow_id: Mapped[Key]
    request_id: Mapped[Key]
    verb: Mapped[str]
    actor: Mapped[str]
    reason: Mapped[str]
    scope: Mapped[str]
    state: Mapped[str]
    generation: Mapped[int]
    state_before: Mapped[dict[str, Any]]
    answer: Mapped[dict[str, Any]]
    at: Mapped[datetime]


class OutboxRow(Row):
    """`rule` is what the last answer met, `attempts` how many in a row met it, `status` and `code` what it said."""

    __tablename__ = "round_outbox"
    __table_args__ = (Index(None, "run_id", "state"),)

    key: Mapped[Key]
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


class TombstoneRow(Row):
    __tablename__ = "object_tombstones"

    key: Mapped[Key]
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    marked_at: Mapped[datetime]
