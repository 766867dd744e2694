"""Where vectors stand in each sink, epoch by epoch, and which of them may be shown."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, func, or_, select, true, update
from sqlalchemy.orm import Session, aliased

from adapters.ledger import transitions
from adapters.ledger.events import Change, put_event
from adapters.ledger.rows import insert_if_absent, locked
from adapters.ledger.tables.weights import WeightPublicationRow, WeightVectorRow
from protocol.weights import WeightsPayload
from weather.faults import LedgerConflict, WeightsNotPublished

UNDER_WAY = ("planned", "submitted")
HIDING = "chain"
TOLD = {"submitted": "weights.published", "committed": "weights.published", "confirmed": "weights.confirmed"}
KEPT_BACK = (WeightPublicationRow.state == "committed") & WeightPublicationRow.reference.is_(None)


class EpochKey(NamedTuple):
    """An epoch of this validator."""

    validator: str
    network: str
    epoch: int

    @property
    def workflow_id(self) -> str:
        return f"weights/{self.network}/{self.epoch}"


class PublicationStep(NamedTuple):
    """A publication moves to `to`; only a missed one has a code."""

    sink: str
    to: str
    at: datetime
    reference: str | None = None
    code: str | None = None


def payload_of(vector: WeightVectorRow, epoch: int) -> WeightsPayload:
    """What every sink is told in this epoch."""
    return WeightsPayload(
        network=vector.network,
        epoch=epoch,
        policy=vector.policy,
        version=vector.version,
        head=vector.head,
        input_digest=vector.input_digest,
        shares=tuple((hotkey, share) for hotkey, share in vector.shares),
    )


def plan(session: Session, epoch: EpochKey, vector: WeightVectorRow, sinks: Iterable[str], at: datetime) -> None:
    """Say what each sink is to get in this epoch, the first time; whatever is under way from before is missed."""
    _miss_all_before(session, epoch, at)
    for sink in sinks:
        row = WeightPublicationRow(network=epoch.network, epoch=epoch.epoch, sink=sink, state="planned", updated_at=at)
        row.input_digest = vector.input_digest
        insert_if_absent(session, row)


def publication(session: Session, epoch: EpochKey, sink: str) -> WeightPublicationRow:
    """Where an epoch stands in a sink, locked for a change.

    Raises:
        LedgerConflict: nothing was planned.
    """
    row = locked(session, WeightPublicationRow, (epoch.network, epoch.epoch, sink))
    if row is None:
        raise LedgerConflict(f"{epoch.workflow_id} has nothing planned for {sink}")
    return row


def payload(session: Session, row: WeightPublicationRow) -> WeightsPayload:
    """What the sink is to get."""
    return payload_of(session.get_one(WeightVectorRow, (row.network, row.input_digest)), row.epoch)


def to_confirm(session: Session, epoch: EpochKey, sink: str) -> list[WeightPublicationRow]:
    """What was submitted in this epoch, and all that a sink took up to then and has not revealed; by epoch."""
    row = WeightPublicationRow
    open_ = (row.state == "committed") | ((row.state == "submitted") & (row.epoch == epoch.epoch))
    chosen = select(row).where(row.network == epoch.network, row.sink == sink, row.epoch <= epoch.epoch, open_)
    return list(session.scalars(chosen.order_by(row.epoch)))


def move(session: Session, epoch: EpochKey, step: PublicationStep) -> WeightPublicationRow:
    """Move a publication along a legal edge; one that is there already stays as it is.

    What is kept back is committed without a reference, and not told before it is published.
    """
    row = publication(session, epoch, step.sink)
    if row.state != step.to:
        transitions.require(transitions.PUBLICATION, f"{epoch.workflow_id} in {step.sink}", row.state, step.to)
        row.state, row.code, row.updated_at = step.to, step.code, step.at
        row.reference = step.reference or row.reference
        if row.reference and (kind := TOLD.get(step.to)):
            told = {"sink": step.sink, "reference": row.reference}
            tell(session, epoch, kind, f"{step.sink}|{step.to}", step.at, told)
    return row


def miss(session: Session, epoch: EpochKey, sinks: Iterable[str], code: str, at: datetime) -> None:
    """End an epoch that failed: what is neither confirmed nor to be revealed is missed, and this is told once."""
    _miss_all_before(session, epoch, at)
    for sink in sinks:
        row = WeightPublicationRow(network=epoch.network, epoch=epoch.epoch, sink=sink, state="missed", code=code)
        row.updated_at = at
        stored, _ = insert_if_absent(session, row)
        if stored.state in UNDER_WAY:
            stored.state, stored.code, stored.updated_at = "missed", code, at
    tell(session, epoch, "run.failed", "0", at, {"code": code, "cause": "platform"})


def shown(network: str, *, after_reveal: bool, before: datetime | None = None) -> ColumnElement[bool]:
    """Which vectors may be shown: all, or those that the chain has revealed, and those of an earlier head."""
    if not after_reveal:
        return true()
    row, other = WeightPublicationRow, aliased(WeightVectorRow)
    revealed = [row.network == network, row.sink == HIDING, row.state == "confirmed"]
    if before is not None:
        revealed.append(row.updated_at < before)
    digests = select(row.input_digest).where(*revealed)
    newest = select(func.max(other.head)).where(other.network == network, other.input_digest.in_(digests))
    return WeightVectorRow.input_digest.in_(digests) | (WeightVectorRow.head < newest.scalar_subquery())


def silent_epochs(session: Session, network: str, current: int, revealed_before: datetime) -> int:
    """How many epochs in a row before the current one are not in every sink; those never begun count too.

    What is kept back counts only if the chain had revealed it before that instant.
    """
    row, vector = WeightPublicationRow, WeightVectorRow
    ours = row.network == network
    visible = select(vector.input_digest).where(
        vector.network == network, shown(network, after_reveal=True, before=revealed_before)
    )
    overdue = KEPT_BACK & row.input_digest.in_(visible)
    broken = select(row.epoch).where(ours, or_(row.state.not_in(("confirmed", "committed")), overdue))
    waiting = select(row.epoch).where(ours, KEPT_BACK)
    heard = select(func.max(row.epoch)).where(
        ours, row.epoch <= current, row.epoch.not_in(broken), row.epoch.not_in(waiting)
    )
    first, last = session.execute(select(func.min(row.epoch), heard.scalar_subquery()).where(ours)).one()
    if first is None:
        return 0
    last = first - 1 if last is None else last
    between = (row.epoch > last) & (row.epoch < current)
    kept = select(func.count(row.epoch.distinct())).where(ours, KEPT_BACK, between, row.epoch.not_in(broken))
    return max(0, current - 1 - last - session.execute(kept).scalar_one())


def _miss_all_before(session: Session, epoch: EpochKey, at: datetime) -> None:
    row = WeightPublicationRow
    left = update(row).where(row.network == epoch.network, row.epoch < epoch.epoch, row.state.in_(UNDER_WAY))
    session.execute(left.values(state="missed", code=WeightsNotPublished.__name__, updated_at=at))


def tell(  # noqa: PLR0913 -- the parts of an event
    session: Session, epoch: EpochKey, kind: str, key: str, at: datetime, data: dict[str, Any]
) -> None:
    change = Change(kind, epoch.workflow_id, key, at, {"epoch": epoch.epoch} | data)
    put_event(session, epoch.validator, epoch.workflow_id, change)
