"""Who was registered since when, vectors of weights, and where they were published."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKeyConstraint
from sqlalchemy.orm import Mapped, mapped_column

from adapters.ledger.tables.base import Key, NumberKey, Row, RunKey
from adapters.ledger.tables.runs import ForecastRunRow


class RegistryObservationRow(Row):
    """One unbroken, enabled presence of a hotkey in the registry; it lasts while `present_until` is null."""

    __tablename__ = "registry_observations"

    network: Mapped[Key]
    hotkey: Mapped[Key]
    present_from: Mapped[datetime] = mapped_column(primary_key=True)
    present_until: Mapped[datetime | None]


class WeightVectorRow(Row):
    """`inputs` is the document whose digest is the key; shares are [hotkey, ppb] by hotkey."""

    __tablename__ = "weight_vectors"

    network: Mapped[Key]
    input_digest: Mapped[Key]
    policy: Mapped[str]
    version: Mapped[int]
    head: Mapped[int]
    inputs: Mapped[dict[str, Any]]
    shares: Mapped[list[Any]]
    shares_digest: Mapped[str]
    computed_at: Mapped[datetime]


VECTOR = [WeightVectorRow.network, WeightVectorRow.input_digest]


class WeightVectorRoundRow(Row):
    """The outcome is part of the reference: a vector of an open or void round, or of a hindcast, cannot be written."""

    __tablename__ = "weight_vector_rounds"
    __table_args__ = (
        ForeignKeyConstraint(["network", "input_digest"], VECTOR),
        ForeignKeyConstraint(["run_id", "outcome"], [ForecastRunRow.run_id, ForecastRunRow.outcome]),
    )

    network: Mapped[Key]
    input_digest: Mapped[Key]
    run_id: Mapped[Key]
    outcome: Mapped[str]


class HistoricalWeightRow(Row):
    """A weight as a part of 1, with the round and the kind of score that it comes from.

    `digest` is that of its inputs: one round may be the head of several vectors.
    """

    __tablename__ = "weather_historical_weights"

    run_id: Mapped[RunKey]
    score_type: Mapped[Key]
    digest: Mapped[Key]
    miner_hotkey: Mapped[Key]
    score: Mapped[float | None]
    weight: Mapped[float]


class WeightPublicationRow(Row):
    """Only a missed epoch may be without a vector."""

    __tablename__ = "weight_publications"
    __table_args__ = (ForeignKeyConstraint(["network", "input_digest"], VECTOR),)

    network: Mapped[Key]
    epoch: Mapped[NumberKey]
    sink: Mapped[Key]
    state: Mapped[str]
    input_digest: Mapped[str | None]
    reference: Mapped[str | None]
    code: Mapped[str | None]
    updated_at: Mapped[datetime]
