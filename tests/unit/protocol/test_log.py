from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from protocol import merkle
from protocol.document import Document
from protocol.log import (
    ConsistencyProof,
    LogEntries,
    ReceiptedCommitment,
    SealedCommitments,
    SignedHead,
    equivocations,
    growth_broken,
)
from protocol.receipt import TreeHead
from tests.proofs import consistency_proof
from tests.unit.protocol.world import COMMITMENT, MANIFEST, MINER, NOW, OTHER, RUN, VALIDATOR, commitment_to, logged

LEAVES = [merkle.leaf_hash(bytes([number])) for number in range(7)]


def signed_head(size: int) -> SignedHead:
    head = TreeHead(
        network="test",
        validator=VALIDATOR.hotkey,
        tree_size=size,
        root_hash=merkle.root_of(LEAVES[:size]).hex(),
        recorded_at=NOW,
    )
    return SignedHead(tree_head=head, tree_head_signature=head.sign(VALIDATOR))


def receipted(salt: str = "44" * 32) -> ReceiptedCommitment:
    commitment = commitment_to(MANIFEST, salt=salt)
    answer = logged(commitment)
    return ReceiptedCommitment(
        commitment=commitment.value,
        signature=commitment.sign(MINER),
        receipt=answer.receipt,
        receipt_signature=answer.receipt_signature,
    )


OLDER, NEWER = signed_head(3), signed_head(7)
PROOF = ConsistencyProof(
    first=3,
    second=7,
    consistency_proof=tuple(part.hex() for part in consistency_proof(LEAVES, 3)),
)


def holds_head(document: SignedHead) -> bool:
    return document.holds("test", VALIDATOR.hotkey)


def proves_growth(document: ConsistencyProof) -> bool:
    sizes = (document.first, document.second)
    return sizes == (3, 7) and growth_broken(OLDER, NEWER, document.consistency_proof) is None


def proves_commitment(document: ReceiptedCommitment) -> bool:
    return document.proved("test", RUN, VALIDATOR.hotkey) == COMMITMENT


def flips(body: bytes) -> Iterator[bytes]:
    for bit in range(8 * len(body)):
        index, shift = divmod(bit, 8)
        yield body[:index] + bytes([body[index] ^ 1 << shift]) + body[index + 1 :]


@pytest.mark.parametrize(
    ("document", "holds"),
    [(OLDER, holds_head), (PROOF, proves_growth), (receipted(), proves_commitment)],
    ids=["head", "proof", "commitment"],
)
def test_any_flipped_bit_is_found(document: Document, holds: Callable[[Document], bool]) -> None:
    def survives(body: bytes) -> bool:
        try:
            return holds(type(document).parse(body))
        except ValueError:
            return False

    assert survives(document.body)
    assert not any(survives(flipped) for flipped in flips(document.body))


def test_growth_names_what_is_broken() -> None:
    assert growth_broken(OLDER, NEWER, PROOF.consistency_proof) is None
    assert growth_broken(OLDER, OLDER, ()) is None
    other = signed_head(3)
    fork = other.model_copy(update={"tree_head": other.tree_head.model_copy(update={"root_hash": "0" * 64})})
    assert growth_broken(OLDER, fork, ()) == "two roots of one size"
    assert growth_broken(OLDER, NEWER, ()) == "consistency proof"
    assert growth_broken(fork, NEWER, PROOF.consistency_proof) == "consistency proof"


def test_entries_of_all_kinds_read_back() -> None:
    entry = logged().receipt.entry
    assert LogEntries.parse(LogEntries(start=4, entries=(entry, entry)).body).entries == (entry, entry)
    with pytest.raises(ValueError):
        LogEntries.of_value({"start": 0, "entries": [{**entry.value, "kind": "stranger"}]})


def test_two_commitments_of_one_run_convict_whoever_shows_them() -> None:
    one, other = receipted(), receipted("45" * 32)
    both = SealedCommitments(run_id=RUN, commitments=(one, other))
    assert equivocations("test", RUN, {VALIDATOR.hotkey: both}) == {MINER.hotkey: [one, other]}
    assert equivocations("test", RUN, {OTHER.hotkey: both}) == {}
    assert equivocations("other", RUN, {VALIDATOR.hotkey: both}) == {}
    assert equivocations("test", "forecast/2026-11-23T00Z", {VALIDATOR.hotkey: both}) == {}
