"""Merkle trees over byte strings, with proofs of inclusion, of consistency and of subsets.

Source:
    RFC 6962, section 2.1 (tree hash); RFC 9162, sections 2.1.3 and 2.1.4 (proofs).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence

Span = tuple[int, int]


def leaf_hash(leaf: bytes) -> bytes:
    """Hash of one leaf."""
    return hashlib.sha256(b"\0" + leaf).digest()


def tree_hash(leaves: Sequence[bytes]) -> bytes:
    """MTH: the root over the leaves in order."""
    return root_of([leaf_hash(leaf) for leaf in leaves])


def root_of(hashes: Sequence[bytes]) -> bytes:
    """The root over the hashes of the leaves."""
    if not hashes:
        return hashlib.sha256().digest()
    level = list(hashes)
    while len(level) > 1:
        odd = level[-1:] if len(level) % 2 else []
        level = [_node(left, right) for left, right in zip(level[::2], level[1::2], strict=False)] + odd
    return level[0]


def inclusion_spans(index: int, size: int) -> list[Span]:
    """The subtrees whose roots lead from a leaf to the root, nearest first; ValueError for no such leaf."""
    if not 0 <= index < size:
        raise ValueError(f"there is no leaf {index} in a tree of {size}")
    return _siblings((index, index + 1), size)


def inclusion_holds(leaf: bytes, place: tuple[int, int], proof: Sequence[bytes], root: bytes) -> bool:
    """Whether the proof leads from the hash of a leaf at (index, tree size) to the root."""
    index, size = place
    if not 0 <= index < size:
        return False
    spans, reached = inclusion_spans(index, size), leaf
    for (begin, _), sibling in zip(spans, proof, strict=False):
        reached = _node(reached, sibling) if begin > index else _node(sibling, reached)
    return len(proof) == len(spans) and reached == root


def consistency_spans(first: int, second: int) -> list[Span]:
    """The subtrees that show that the first leaves are a prefix of the second; ValueError unless 1 ≤ first ≤ second."""
    if not 1 <= first <= second:
        raise ValueError(f"a tree of {second} has no prefix of {first}")
    begin = first & (first - 1) if first < second else 0  # of the last subtree that the first leaves fill
    return ([(begin, first)] if begin else []) + _siblings((begin, first), second)


def consistency_holds(sizes: tuple[int, int], roots: tuple[bytes, bytes], proof: Sequence[bytes]) -> bool:
    """Whether the proof shows the tree of (first, second) size and root to be a prefix and its growth."""
    first, second = sizes
    if first == second:
        return roots[0] == roots[1] and not proof
    if not 1 <= first < second or len(proof) != len(spans := consistency_spans(first, second)):
        return False
    steps = list(zip(spans, proof, strict=True))
    old = new = roots[0] if spans[0][1] != first else steps.pop(0)[1]
    for (begin, _), sibling in steps:
        if begin < first:
            old, new = _node(sibling, old), _node(sibling, new)
        else:
            new = _node(new, sibling)
    return (old, new) == roots


def subset_proof(hashes: Sequence[bytes], chosen: Sequence[int]) -> list[bytes]:
    """One proof for some leaves: the roots of the largest subtrees without any of them, in the order of the leaves."""
    if not chosen:
        return [root_of(hashes)]
    if len(hashes) == 1:
        return []
    split = _left_leaves(len(hashes))
    left = [index for index in chosen if index < split]
    right = [index - split for index in chosen if index >= split]
    return [*subset_proof(hashes[:split], left), *subset_proof(hashes[split:], right)]


def subset_root(size: int, leaves: Mapping[int, bytes], siblings: Iterator[bytes]) -> bytes:
    """The root to which hashes of leaves by index lead, with what is needed of the proof; ValueError if too short."""
    if not leaves:
        if (sibling := next(siblings, None)) is None:
            raise ValueError("the proof is too short")
        return sibling
    if size == 1:
        return leaves[0]
    split = _left_leaves(size)
    left = {index: leaf for index, leaf in leaves.items() if index < split}
    right = {index - split: leaf for index, leaf in leaves.items() if index >= split}
    return root_of([subset_root(split, left, siblings), subset_root(size - split, right, siblings)])


def _left_leaves(size: int) -> int:
    """How many leaves of a tree of at least two stand left of its root."""
    return 1 << (size - 1).bit_length() - 1


def _siblings(subtree: Span, size: int) -> list[Span]:
    """The subtrees beside the path from a subtree to the root, nearest first."""
    path, begin, end = [], 0, size
    while (begin, end) != subtree:
        split = begin + _left_leaves(end - begin)
        if subtree[0] < split:
            path.append((split, end))
            end = split
        else:
            path.append((begin, split))
            begin = split
    return path[::-1]


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\1" + left + right).digest()
