"""Commitments, receipts and the leaves of the transparency log."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, ForeignKeyConstraint, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from adapters.ledger.tables.base import Row, one_of
from adapters.ledger.tables.runs import ForecastRunRow, RosterRow


class LogLeafRow(Row):
    """`peaks` are the roots of the complete subtrees up to and with this leaf, largest first."""

    __tablename__ = "log_leaves"
    __table_args__ = (UniqueConstraint("run_id", "kind", "key"),)

    leaf_index: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    run_id: Mapped[str] = mapped_column(ForeignKey(ForecastRunRow.run_id))
    kind: Mapped[str]
    key: Mapped[str]
    leaf_hash: Mapped[str]
    entry: Mapped[dict[str, Any]]
    peaks: Mapped[list[str]]


class CommitmentRow(Row):
    __tablename__ = "commitments"
    __table_args__ = (
        ForeignKeyConstraint(["run_id", "hotkey"], [RosterRow.run_id, RosterRow.hotkey]),
        CheckConstraint(one_of("channel", ("push", "pull")), "channel"),
    )

    run_id: Mapped[str] = mapped_column(primary_key=True)
    hotkey: Mapped[str] = mapped_column(primary_key=True)
    commitment_digest: Mapped[str]
    commitment: Mapped[dict[str, Any]]
    signature: Mapped[str]
    received_at: Mapped[datetime]
    channel: Mapped[str]
    leaf_index: Mapped[int] = mapped_column(ForeignKey(LogLeafRow.leaf_index), unique=True)


class ReceiptRow(Row):
    __tablename__ = "receipts"
    __table_args__ = (ForeignKeyConstraint(["run_id", "hotkey"], [CommitmentRow.run_id, CommitmentRow.hotkey]),)

    run_id: Mapped[str] = mapped_column(primary_key=True)
    hotkey: Mapped[str] = mapped_column(primary_key=True)
    commitment_digest: Mapped[str] = mapped_column(primary_key=True)
    receipt: Mapped[dict[str, Any]]
    receipt_signature: Mapped[str]
    tree_head: Mapped[dict[str, Any]]
    tree_head_signature: Mapped[str]
    inclusion_proof: Mapped[list[str]]
