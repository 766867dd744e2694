"""What a validator answers about its transparency log, and what the answers prove."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, ClassVar

from pydantic import Field

from protocol.commitment import Commitment
from protocol.document import Count, Digest, Document, RunId, Signature
from protocol.receipt import LogEntry, Receipt, TreeHead, growth_holds
from weather.faults import CommitmentMalformed

MAX_BYTES = 1_048_576
MAX_ENTRIES = 1_000
Proof = Annotated[tuple[Digest, ...], Field(max_length=128, strict=False)]


class _LogAnswer(Document):
    max_bytes: ClassVar[int] = MAX_BYTES


class SignedHead(_LogAnswer):
    """A tree head with its signature."""

    tree_head: TreeHead
    tree_head_signature: Signature

    def holds(self, network: str, validator: str) -> bool:
        """Whether it is the validator's head of the network's log."""
        head = self.tree_head
        return head.network == network and head.signed_by(validator, self.tree_head_signature)


class LogEntries(_LogAnswer):
    """Entries in order, the first at the leaf `start`."""

    start: Count
    entries: Annotated[tuple[LogEntry, ...], Field(max_length=MAX_ENTRIES, strict=False)]


class InclusionProof(_LogAnswer):
    """That a leaf is in the tree of a size."""

    leaf_index: Count
    tree_size: Count
    inclusion_proof: Proof


class ConsistencyProof(_LogAnswer):
    """That the tree of `first` leaves is a prefix of that of `second`."""

    first: Count
    second: Count
    consistency_proof: Proof


class ReceiptedCommitment(Document):
    """A commitment as its miner signed it, and the receipt that a validator gave for it."""

    commitment: dict[str, Any]
    signature: str
    receipt: Receipt
    receipt_signature: Signature

    def proved(self, network: str, run_id: str, validator: str) -> Commitment | None:
        """The commitment, if its miner signed it for this run and the validator receipted it."""
        try:
            commitment = Commitment.parse(self.commitment)
        except CommitmentMalformed:
            return None
        bound = (commitment.network, commitment.run_id) == (network, run_id)
        signed = commitment.signed_by(commitment.hotkey, self.signature)
        receipted = self.receipt.signed_by(validator, self.receipt_signature)
        return commitment if bound and signed and receipted and commitment.is_logged_as(self.receipt.entry) else None


class SealedCommitments(_LogAnswer):
    """All commitments of a sealed run by leaf index."""

    run_id: RunId
    commitments: Annotated[tuple[ReceiptedCommitment, ...], Field(strict=False)]


def growth_broken(older: SignedHead, newer: SignedHead, proof: Iterable[str]) -> str | None:
    """What convicts who signed both heads, the older of no more leaves; None if the proof shows that the log grew."""
    sizes = (older.tree_head.tree_size, newer.tree_head.tree_size)
    if growth_holds(older.tree_head, newer.tree_head, proof):
        return None
    return "two roots of one size" if sizes[0] == sizes[1] else "consistency proof"


def equivocations(
    network: str, run_id: str, answers: Mapping[str, SealedCommitments]
) -> dict[str, list[ReceiptedCommitment]]:
    """Miners with several forecasts, and a commitment of each; what does not hold in an answer accuses nobody."""
    found: dict[str, dict[str, ReceiptedCommitment]] = {}
    for validator, answer in answers.items():
        for one in answer.commitments:
            if commitment := one.proved(network, run_id, validator):
                found.setdefault(commitment.hotkey, {}).setdefault(commitment.digest, one)
    return {hotkey: list(by_digest.values()) for hotkey, by_digest in found.items() if len(by_digest) > 1}
