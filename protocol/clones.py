"""Exact copies: whose scored fields are bit for bit those of an earlier commitment."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from typing import NamedTuple

COPIED_SHARE = Fraction(1, 10)


class ScoredField(NamedTuple):
    """One scored field of a miner, by the digest of its values."""

    hotkey: str
    digest: str


class Copy(NamedTuple):
    """A miner whose fields are those of others; `owner` is the one of whom it has most."""

    hotkey: str
    owner: str
    copied: int
    scored: int


def exact_clones(shared: Iterable[ScoredField], scored: Mapping[str, int], order: Sequence[str]) -> list[Copy]:
    """Miners of whose scored fields at least a tenth stand in commitments of lower leaf index.

    Args:
        shared: scored fields that several miners have and that are no public baseline, once each.
        scored: how many fields of each miner are scored.
        order: hotkeys by the leaf index of their commitments.
    """
    rank = {hotkey: place for place, hotkey in enumerate(order)}
    fields = sorted(shared, key=lambda field: rank[field.hotkey])
    first: dict[str, str] = {}
    copied: dict[str, Counter[str]] = {hotkey: Counter() for hotkey in order}
    for hotkey, digest in fields:
        owner = first.setdefault(digest, hotkey)
        if owner != hotkey:
            copied[hotkey][owner] += 1
    return [
        Copy(hotkey, owners.most_common(1)[0][0], owners.total(), scored[hotkey])
        for hotkey, owners in copied.items()
        if owners and owners.total() >= COPIED_SHARE * scored[hotkey]
    ]
