"""Who was registered since when, vectors of weights, and where they were published."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, ForeignKeyConstraint
from sqlalchemy.orm import Mapped, mapped_column

from adapters.ledger import transitions
from adapters.ledger.tables.base import Row, one_of
from adapters.ledger.tables.runs import ForecastRunRow


class RegistryObservationRow(Row):
    """One unbroken, enabled presence of a hotkey in the registry; it lasts while `present_until` is null."""

    __tablename__ = "registry_observations"
    __table_args__ = (CheckConstraint("present_until >= present_from", "interval"),)

    network: Mapped[str] = mapped_column(primary_key=True)
    hotkey: Mapped[str] = mapped_column(primary_key=True)
    present_from: Mapped[datetime] = mapped_column(primary_key=True)
    present_until: Mapped[datetime | None]


class WeightVectorRow(Row):
    """`inputs` is the document whose digest is the key; shares are [hotkey, ppb] by hotkey."""

    __tablename__ = "weight_vectors"

    network: Mapped[str] = mapped_column(primary_key=True)
    input_digest: Mapped[str] = mapped_column(primary_key=True)
    policy: Mapped[str]
    version: Mapped[int]
    head: Mapped[int]
    inputs: Mapped[dict[str, Any]]
    shares: Mapped[list[Any]]
    shares_digest: Mapped[str]
    computed_at: Mapped[datetime]


class WeightVectorRoundRow(Row):
    """The outcome is part of the reference: a vector of an open or void round, or of a hindcast, cannot be written."""

    __tablename__ = "weight_vector_rounds"
    __table_args__ = (
        ForeignKeyConstraint(["network", "input_digest"], [WeightVectorRow.network, WeightVectorRow.input_digest]),
        ForeignKeyConstraint(["run_id", "outcome"], [ForecastRunRow.run_id, ForecastRunRow.outcome]),
        CheckConstraint(one_of("outcome", ("closed", "closed_partial")), "outcome"),
        CheckConstraint("run_id LIKE 'forecast/%'", "live"),
    )

    network: Mapped[str] = mapped_column(primary_key=True)
    input_digest: Mapped[str] = mapped_column(primary_key=True)
    run_id: Mapped[str] = mapped_column(primary_key=True)
    outcome: Mapped[str]


class HistoricalWeightRow(Row):
    """A weight as a part of 1, with the round and the kind of score that it comes from.

    `digest` is that of its inputs: one round may be the head of several vectors.
    """

    __tablename__ = "weather_historical_weights"

    run_id: Mapped[str] = mapped_column(ForeignKey(ForecastRunRow.run_id), primary_key=True)
    score_type: Mapped[str] = mapped_column(primary_key=True)
    digest: Mapped[str] = mapped_column(primary_key=True)
    miner_hotkey: Mapped[str] = mapped_column(primary_key=True)
    score: Mapped[float | None]
    weight: Mapped[float]


class WeightPublicationRow(Row):
    """Only a missed epoch may be without a vector."""

    __tablename__ = "weight_publications"
    __table_args__ = (
        ForeignKeyConstraint(["network", "input_digest"], [WeightVectorRow.network, WeightVectorRow.input_digest]),
        CheckConstraint(one_of("state", transitions.words(transitions.PUBLICATION)), "state"),
        CheckConstraint("state = 'missed' OR input_digest IS NOT NULL", "vector"),
        CheckConstraint("(state = 'missed') = (code IS NOT NULL)", "code"),
    )

    network: Mapped[str] = mapped_column(primary_key=True)
    epoch: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    sink: Mapped[str] = mapped_column(primary_key=True)
    state: Mapped[str]
    input_digest: Mapped[str | None]
    reference: Mapped[str | None]
    code: Mapped[str | None]
    updated_at: Mapped[datetime]
