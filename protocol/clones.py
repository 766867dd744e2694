"""Exact copies: whose scored fields are bit for bit those of an earlier commitment."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from fractions import Fraction
from typing import NamedTuple

COPIED_SHARE = Fraction(1, 10)


class Copy(NamedTuple):
    """A miner whose fields are those of others; `owner` is the one of whom it has most."""

    hotkey: str
    owner: str
    copied: int
    scored: int


def exact_clones(copied: Mapping[str, Counter[str]], scored: Mapping[str, int]) -> list[Copy]:
    """Miners of whose scored fields at least a tenth stand in commitments of lower leaf index.

    Args:
        copied: of each miner, how many of its fields are no public baseline and were first in whose commitment.
        scored: how many fields of each miner are scored.
    """
    return [
        Copy(hotkey, owners.most_common(1)[0][0], owners.total(), scored[hotkey])
        for hotkey, owners in sorted(copied.items())
        if owners and owners.total() >= COPIED_SHARE * scored[hotkey]
    ]
