"""Commitments as they were first received, with the receipts that were given for them."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from adapters.ledger import log
from adapters.ledger.events import Change, record_event
from adapters.ledger.roster import require_member
from adapters.ledger.runs import changed_run
from adapters.ledger.tables.commitments import CommitmentRow, ReceiptRow
from adapters.ledger.values import Commitment, ReceivedCommitment, RecordedCommitment
from protocol.identity import PrivateKey
from protocol.log import ReceiptedCommitment, SealedCommitments, SignedHead
from protocol.names import format_stamp, miner_workflow_id, parse_stamp
from protocol.receipt import CommitmentEntry, Receipt
from weather.faults import CommitmentLate


def record_commitment(session: Session, key: PrivateKey, received: ReceivedCommitment) -> RecordedCommitment:
    """Store a checked commitment with log leaf, receipt and event; the first one of a miner stands.

    Raises:
        LedgerConflict: the miner is not on the roster.
        CommitmentLate: the run is sealed.
    """
    commitment = received.commitment
    run = changed_run(session, commitment.run_id)
    require_member(session, run.run_id, commitment.hotkey)
    stored = commitment_of(session, commitment.run_id, commitment.hotkey)
    if stored is not None:
        return stored.model_copy(update={"stood": stored.commitment_digest != commitment.digest})
    if run.status != "pending":
        raise CommitmentLate(f"run {run.run_id} is sealed")
    recorded = _append(session, key, received)
    hotkey, digest = commitment.hotkey, commitment.digest
    data = {"miner": hotkey, "commitment_digest": digest, "leaf_index": recorded.leaf_index}
    subject = miner_workflow_id(run.run_id, hotkey)
    record_event(session, run, Change("forecast.committed", subject, "0", recorded.received_at, data))
    return recorded.model_copy(update={"created": True})


def commitment_of(session: Session, run_id: str, hotkey: str) -> RecordedCommitment | None:
    """The commitment of a miner that stands."""
    return next(iter(commitments_of(session, run_id, hotkey)), None)


def commitments_of(session: Session, run_id: str, hotkey: str | None = None) -> list[RecordedCommitment]:
    """All commitments of a run, or of one of its miners, by leaf index."""
    chosen = select(CommitmentRow, ReceiptRow).join(ReceiptRow).where(CommitmentRow.run_id == run_id)
    if hotkey is not None:
        chosen = chosen.where(CommitmentRow.hotkey == hotkey)
    rows = session.execute(chosen.order_by(CommitmentRow.leaf_index))
    return [_recorded(commitment, receipt) for commitment, receipt in rows]


def sealed_commitments(session: Session, run_id: str) -> SealedCommitments:
    """All commitments of a run as anyone may see them after its seal."""
    receipted = [
        ReceiptedCommitment(
            commitment=one.commitment.value,
            signature=one.signature,
            receipt=one.receipt,
            receipt_signature=one.receipt_signature,
        )
        for one in commitments_of(session, run_id)
    ]
    return SealedCommitments(run_id=run_id, commitments=tuple(receipted))


def _append(session: Session, key: PrivateKey, received: ReceivedCommitment) -> RecordedCommitment:
    commitment = received.commitment
    entry = CommitmentEntry(
        **commitment.model_dump(include={"network", "run_id", "hotkey"}),
        commitment_digest=commitment.digest,
        received_at=parse_stamp(format_stamp(received.received_at)),
        channel=received.channel,
    )
    leaf = log.append_leaf(session, entry, commitment.hotkey)
    receipt = Receipt(validator=key.hotkey, leaf_index=leaf.leaf_index, entry=entry)
    columns = entry.model_dump(exclude={"kind", "network"})
    row = CommitmentRow(
        **columns, commitment=commitment.value, signature=received.signature, leaf_index=leaf.leaf_index
    )
    receipted = ReceiptRow(
        **entry.model_dump(include={"run_id", "hotkey", "commitment_digest"}),
        receipt=receipt.value,
        receipt_signature=receipt.sign(key),
        inclusion_proof=log.last_leaf_proof(session, leaf),
        **log.signed_head(session, key, commitment.network, entry.received_at).value,
    )
    session.add(row)
    session.flush()
    session.add(receipted)
    return _recorded(row, receipted)


def head_of(receipt: ReceiptRow) -> SignedHead:
    """The head of the log that left with a receipt."""
    return SignedHead.of_value({"tree_head": receipt.tree_head, "tree_head_signature": receipt.tree_head_signature})


def leaf_order(session: Session, run_id: str) -> dict[str, int]:
    """By hotkey the leaf of its commitment: the lower one came earlier."""
    chosen = select(CommitmentRow.hotkey, CommitmentRow.leaf_index).where(CommitmentRow.run_id == run_id)
    return dict(session.execute(chosen).all())


def _recorded(row: CommitmentRow, receipt: ReceiptRow) -> RecordedCommitment:
    return RecordedCommitment(
        commitment=Commitment.of_value(row.commitment),
        signature=row.signature,
        receipt=Receipt.of_value(receipt.receipt),
        receipt_signature=receipt.receipt_signature,
        head=head_of(receipt),
        inclusion_proof=tuple(receipt.inclusion_proof),
    )
