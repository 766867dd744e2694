"""The transparency log: its entries, receipts, tree heads, and what a miner checks offline."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from protocol import merkle
from protocol.canonical import Label, sign, tag, verify
from protocol.document import Count, Digest, Document, Hotkey, Name, Protocol, RunId, Signature, Stamp, Time, Word
from protocol.identity import PrivateKey
from protocol.names import PROTOCOL


class _Entry(Document):
    network: Name
    run_id: RunId


class RunOpened(_Entry):
    """The call of a run is fixed."""

    kind: Literal["run_opened"] = "run_opened"
    call_digest: Digest
    roster_digest: Digest
    commit_deadline: Time
    recorded_at: Stamp


class DeadlineMoved(_Entry):
    """The commit deadline moves for all miners of a run."""

    kind: Literal["deadline_moved"] = "deadline_moved"
    from_: Annotated[Time, Field(alias="from")]
    to: Time
    code: Word
    recorded_at: Stamp


class CommitmentEntry(_Entry):
    """A commitment was received."""

    kind: Literal["commitment"] = "commitment"
    hotkey: Hotkey
    commitment_digest: Digest
    received_at: Stamp
    channel: Literal["push", "pull"]


class RunSealed(_Entry):
    """The commit window of a run is closed."""

    kind: Literal["run_sealed"] = "run_sealed"
    commit_deadline: Time
    accepted: Count
    commitments_digest: Digest
    audit_secret_hash: Digest
    recorded_at: Stamp


class Intervention(_Entry):
    """An operator acted on a run."""

    kind: Literal["intervention"] = "intervention"
    verb: Word
    actor: Word
    reason_digest: Digest
    recorded_at: Stamp


class RunClosed(_Entry):
    """A run is scored or void; one that was never sealed has no secret to reveal."""

    kind: Literal["run_closed"] = "run_closed"
    outcome: Literal["scored", "void"]
    facts_digest: Digest
    faults_digest: Digest
    audit_secret: Digest | None
    recorded_at: Stamp


LogEntry = RunOpened | DeadlineMoved | CommitmentEntry | RunSealed | Intervention | RunClosed


class Signed(Document):
    """A document with one author, who signs it; `author` is the member that names the hotkey."""

    label: ClassVar[Label]
    author: ClassVar[str]

    def sign(self, key: PrivateKey) -> str:
        """The author's signature."""
        return sign(key, self.label, self.canonical)

    def signed_by(self, hotkey: str, signature: str) -> bool:
        """Whether the hotkey is the author, and the signature its own."""
        return getattr(self, self.author) == hotkey and verify(hotkey, self.label, self.canonical, signature)


class Receipt(Signed):
    """The validator's word that a commitment came, when, and where it stands in the log."""

    label, author = "receipt", "validator"

    protocol: Protocol = PROTOCOL
    kind: Literal["receipt"] = "receipt"
    validator: Hotkey
    leaf_index: Count
    entry: CommitmentEntry


class TreeHead(Signed):
    """The validator's word on its whole log."""

    label, author = "tree-head", "validator"

    protocol: Protocol = PROTOCOL
    kind: Literal["tree_head"] = "tree_head"
    network: Name
    validator: Hotkey
    tree_size: Count
    root_hash: Digest
    recorded_at: Stamp

    def includes(self, entry: LogEntry, leaf_index: int, proof: Iterable[str]) -> bool:
        """Whether the proof shows that the entry is this leaf of the log."""
        siblings, place = [bytes.fromhex(sibling) for sibling in proof], (leaf_index, self.tree_size)
        return merkle.inclusion_holds(entry_hash(entry), place, siblings, bytes.fromhex(self.root_hash))


class CommitmentAnswer(Document):
    """Answer to a commitment, and what the delivery of a receipt carries."""

    max_bytes: ClassVar[int] = 16_384

    receipt: Receipt
    receipt_signature: Signature
    tree_head: TreeHead
    tree_head_signature: Signature
    inclusion_proof: Annotated[tuple[Digest, ...], Field(max_length=64, strict=False)]
    in_time: bool


def entry_hash(entry: LogEntry) -> bytes:
    """Hash of the entry's leaf in the log."""
    return merkle.leaf_hash(tag("log-entry") + entry.canonical)


def broken_part(answer: CommitmentAnswer, validator: str) -> str | None:
    """The first of receipt, tree head and inclusion proof that does not hold; None if all do."""
    receipt, head = answer.receipt, answer.tree_head
    if not receipt.signed_by(validator, answer.receipt_signature):
        return "receipt"
    if head.network != receipt.entry.network or not head.signed_by(validator, answer.tree_head_signature):
        return "tree_head"
    if not head.includes(receipt.entry, receipt.leaf_index, answer.inclusion_proof):
        return "inclusion_proof"
    return None


def growth_holds(older: TreeHead, newer: TreeHead, proof: Iterable[str]) -> bool:
    """Whether a consistency proof shows that the newer head only appends to the older one."""
    sizes = (older.tree_size, newer.tree_size)
    roots = (bytes.fromhex(older.root_hash), bytes.fromhex(newer.root_hash))
    return merkle.consistency_holds(sizes, roots, [bytes.fromhex(sibling) for sibling in proof])


def commitments_digest(digests: Iterable[str]) -> str:
    """MTH over the commitment digests of a sealed run, ascending."""
    return merkle.tree_hash(sorted(bytes.fromhex(digest) for digest in digests)).hex()
