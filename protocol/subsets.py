"""One proof for some leaves of a Merkle tree: the roots of all largest subtrees that hold none of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from protocol.merkle import left_leaves, root_of


def subset_proof(hashes: Sequence[bytes], chosen: Sequence[int]) -> list[bytes]:
    """Roots of the largest subtrees without a chosen leaf, in the order of the leaves."""
    if not chosen:
        return [root_of(hashes)]
    if len(hashes) == 1:
        return []
    split = left_leaves(len(hashes))
    left = [index for index in chosen if index < split]
    right = [index - split for index in chosen if index >= split]
    return [*subset_proof(hashes[:split], left), *subset_proof(hashes[split:], right)]


def subset_root(size: int, leaves: Mapping[int, bytes], siblings: Iterator[bytes]) -> bytes:
    """The root that the hashes of some leaves and their proof lead to.

    Args:
        size: number of leaves of the tree, above every index.
        leaves: hash by index.
        siblings: the proof; as much as is needed is taken.

    Raises:
        ValueError: the proof is too short.
    """
    if not leaves:
        if (sibling := next(siblings, None)) is None:
            raise ValueError("the proof is too short")
        return sibling
    if size == 1:
        return leaves[0]
    split = left_leaves(size)
    left = {index: leaf for index, leaf in leaves.items() if index < split}
    right = {index - split: leaf for index, leaf in leaves.items() if index >= split}
    return root_of([subset_root(split, left, siblings), subset_root(size - split, right, siblings)])
