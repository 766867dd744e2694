"""The transparency log, commitments and receipts, and what proves that a miner kept them or is absent."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, ForeignKeyConstraint, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from adapters.ledger.tables.base import Key, NumberKey, Row, RunKey
from adapters.ledger.tables.runs import ForecastRunRow, RosterRow


class LogLeafRow(Row):
    """`peaks` are the roots of the complete subtrees up to and with this leaf, largest first."""

    __tablename__ = "log_leaves"
    __table_args__ = (UniqueConstraint("run_id", "kind", "key"),)

    leaf_index: Mapped[NumberKey]
    run_id: Mapped[str] = mapped_column(ForeignKey(ForecastRunRow.run_id))
    kind: Mapped[str]
    key: Mapped[str]
    leaf_hash: Mapped[str]
    entry: Mapped[dict[str, Any]]
    peaks: Mapped[list[str]]


class CommitmentRow(Row):
    __tablename__ = "commitments"
    __table_args__ = (ForeignKeyConstraint(["run_id", "hotkey"], [RosterRow.run_id, RosterRow.hotkey]),)

    run_id: Mapped[Key]
    hotkey: Mapped[Key]
    commitment_digest: Mapped[str]
    commitment: Mapped[dict[str, Any]]
    signature: Mapped[str]
    received_at: Mapped[datetime]
    channel: Mapped[str]
    leaf_index: Mapped[int] = mapped_column(ForeignKey(LogLeafRow.leaf_index), unique=True)


class ReceiptRow(Row):
    __tablename__ = "receipts"
    __table_args__ = (ForeignKeyConstraint(["run_id", "hotkey"], [CommitmentRow.run_id, CommitmentRow.hotkey]),)

    run_id: Mapped[Key]
    hotkey: Mapped[Key]
    commitment_digest: Mapped[Key]
    receipt: Mapped[dict[str, Any]]
    receipt_signature: Mapped[str]
    tree_head: Mapped[dict[str, Any]]
    tree_head_signature: Mapped[str]
    inclusion_proof: Mapped[list[str]]


class SecretRow(Row):
    """`sealed` is readable with the validator's key only; `digest` is what may be told."""

    __tablename__ = "run_secrets"

    run_id: Mapped[RunKey]
    purpose: Mapped[Key]
    sealed: Mapped[str]
    digest: Mapped[str]


class AuditRow(Row):
    """`code` says why an audit is void; `faults` are the objects that were not served as committed."""

    __tablename__ = "retention_audits"
    __table_args__ = (ForeignKeyConstraint(["run_id", "hotkey"], [CommitmentRow.run_id, CommitmentRow.hotkey]),)

    run_id: Mapped[Key]
    hotkey: Mapped[Key]
    number: Mapped[NumberKey]
    due: Mapped[datetime]
    recorded_at: Mapped[datetime]
    outcome: Mapped[str]
    code: Mapped[str | None]
    faults: Mapped[list[Any]]


class IngressMarkRow(Row):
    __tablename__ = "ingress_marks"

    at: Mapped[datetime] = mapped_column(primary_key=True)


class LastWordRow(Row):
    __tablename__ = "last_words"
    __table_args__ = (ForeignKeyConstraint(["run_id", "hotkey"], [RosterRow.run_id, RosterRow.hotkey]),)

    run_id: Mapped[Key]
    hotkey: Mapped[Key]
    at: Mapped[datetime]
    code: Mapped[str]
    cause: Mapped[str]
