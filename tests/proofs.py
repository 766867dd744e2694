"""Proofs out of the hashes of all leaves, as a log gives them that keeps every leaf."""

from __future__ import annotations

from collections.abc import Sequence

from protocol.merkle import consistency_spans, inclusion_spans, root_of


def inclusion_proof(hashes: Sequence[bytes], index: int) -> list[bytes]:
    """The path from a leaf to the root, nearest sibling first; ValueError for no such leaf."""
    return [root_of(hashes[begin:end]) for begin, end in inclusion_spans(index, len(hashes))]


def consistency_proof(hashes: Sequence[bytes], first: int) -> list[bytes]:
    """The proof that the tree of the first leaves is a prefix of this one; ValueError unless 1 ≤ first ≤ size."""
    return [root_of(hashes[begin:end]) for begin, end in consistency_spans(first, len(hashes))]
