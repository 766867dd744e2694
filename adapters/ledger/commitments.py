"""Commitments as they were first received, with the receipts that were given for them."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from adapters.ledger.events import Change, record_event
from adapters.ledger.log import append_leaf, last_leaf_proof, root
from adapters.ledger.roster import require_member
from adapters.ledger.runs import changed_run
from adapters.ledger.tables.commitments import CommitmentRow, ReceiptRow
from adapters.ledger.tables.runs import ForecastRunRow
from adapters.ledger.values import Commitment, ReceivedCommitment, RecordedCommitment
from protocol.identity import PrivateKey
from protocol.log import ReceiptedCommitment, SealedCommitments
from protocol.names import format_stamp, miner_workflow_id, parse_stamp
from protocol.receipt import CommitmentEntry, Receipt, TreeHead, sign_receipt, sign_tree_head
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
    _store(session, recorded)
    _report(session, run, recorded)
    return recorded


def commitment_of(session: Session, run_id: str, hotkey: str) -> RecordedCommitment | None:
    """The commitment of a miner that stands."""
    return next(iter(commitments_of(session, run_id, hotkey)), None)


def commitments_of(session: Session, run_id: str, hotkey: str | None = None) -> list[RecordedCommitment]:
    """All commitments of a run, or of one of its miners, by leaf index."""
    same = (ReceiptRow.run_id == CommitmentRow.run_id) & (ReceiptRow.hotkey == CommitmentRow.hotkey)
    chosen = select(CommitmentRow, ReceiptRow).join(ReceiptRow, same).where(CommitmentRow.run_id == run_id)
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


# long: two documents are filled
def _append(session: Session, key: PrivateKey, received: ReceivedCommitment) -> RecordedCommitment:
    commitment, stamp = received.commitment, parse_stamp(format_stamp(received.received_at))
    entry = CommitmentEntry(
        network=commitment.network,
        run_id=commitment.run_id,
        hotkey=commitment.hotkey,
        commitment_digest=commitment.digest,
        received_at=stamp,
        channel=received.channel,
    )
    leaf = append_leaf(session, entry, commitment.hotkey)
    receipt = Receipt(validator=key.hotkey, leaf_index=leaf.leaf_index, entry=entry)
    head = TreeHead(
        network=commitment.network,
        validator=key.hotkey,
        tree_size=leaf.leaf_index + 1,
        root_hash=root(leaf.peaks),
        recorded_at=stamp,
    )
    return RecordedCommitment(
        commitment=commitment,
        signature=received.signature,
        commitment_digest=commitment.digest,
        leaf_index=leaf.leaf_index,
        received_at=stamp,
        channel=received.channel,
        receipt=receipt,
        receipt_signature=sign_receipt(key, receipt),
        tree_head=head,
        tree_head_signature=sign_tree_head(key, head),
        inclusion_proof=tuple(last_leaf_proof(session, leaf)),
        created=True,
    )


def _store(session: Session, recorded: RecordedCommitment) -> None:
    key = {"run_id": recorded.commitment.run_id, "hotkey": recorded.commitment.hotkey}
    same = ("commitment_digest", "signature", "received_at", "channel", "leaf_index")
    session.add(
        CommitmentRow(**key, commitment=recorded.commitment.value, **{name: getattr(recorded, name) for name in same})
    )
    session.flush()
    session.add(
        ReceiptRow(
            **key,
            commitment_digest=recorded.commitment_digest,
            receipt=recorded.receipt.value,
            receipt_signature=recorded.receipt_signature,
            tree_head=recorded.tree_head.value,
            tree_head_signature=recorded.tree_head_signature,
            inclusion_proof=list(recorded.inclusion_proof),
        )
    )


def _report(session: Session, run: ForecastRunRow, recorded: RecordedCommitment) -> None:
    hotkey = recorded.commitment.hotkey
    data = {"miner": hotkey, "commitment_digest": recorded.commitment_digest, "leaf_index": recorded.leaf_index}
    change = Change("forecast.committed", miner_workflow_id(run.run_id, hotkey), "0", recorded.received_at, data)
    record_event(session, run, change)


def _recorded(row: CommitmentRow, receipt: ReceiptRow) -> RecordedCommitment:
    same = ("signature", "commitment_digest", "leaf_index", "received_at", "channel")
    signatures = ("receipt_signature", "tree_head_signature")
    return RecordedCommitment(
        commitment=Commitment.of_value(row.commitment),
        receipt=Receipt.of_value(receipt.receipt),
        tree_head=TreeHead.of_value(receipt.tree_head),
        inclusion_proof=tuple(receipt.inclusion_proof),
        **{name: getattr(row, name) for name in same},
        **{name: getattr(receipt, name) for name in signatures},
    )
