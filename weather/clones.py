"""Copies: exact ones, bit for bit those of an earlier commitment, and near ones over a season (scoring.md, 14.2)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from fractions import Fraction
from math import erfc, sqrt
from statistics import median
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict

COPIED_SHARE = Fraction(1, 10)
FEWEST_MINERS = 5
SEASON_RUNS = 12
FEWEST_RUNS = 3
FEWEST_COMPONENTS = 20
THRESHOLD = 0.9
FALSE_DISCOVERIES = 1e-3
LEAST_SPREAD = 0.01
NORMAL_SPREAD = 1.4826  # standard deviation by median absolute deviation


class Copy(NamedTuple):
    """A miner whose fields are those of others; `owner` is the one of whom it has most."""

    hotkey: str
    owner: str
    copied: int
    scored: int


class Alike(NamedTuple):
    """A pair of miners in one run: over how many components, and the median of their similarity."""

    one: str
    other: str
    components: int
    similarity: float


class Likeness(BaseModel):
    """Evidence of one run.

    Attributes:
        hotkeys: who was compared.
        middle: median over all pairs of their similarity.
        spread: its median absolute deviation.
        alike: pairs that are somewhat alike; the others are not worth keeping.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    hotkeys: tuple[str, ...]
    middle: float
    spread: float
    alike: tuple[Alike, ...]


class NearCopy(NamedTuple):
    """A pair found guilty; whose commitment came later is the copy."""

    one: str
    other: str
    runs: int
    components: int
    similarity: float


def exact_clones(copied: Mapping[str, Counter[str]], scored: Mapping[str, int]) -> list[Copy]:
    """Miners of whose scored fields at least a tenth, no public baselines, were first in commitments of others."""
    return [
        Copy(hotkey, owners.most_common(1)[0][0], owners.total(), scored[hotkey])
        for hotkey, owners in sorted(copied.items())
        if owners and owners.total() >= COPIED_SHARE * scored[hotkey]
    ]


def near_copies(season: Sequence[Likeness]) -> list[NearCopy]:
    """Pairs alike beyond chance in the last run of a season, which is judged, and over all of it."""
    candidates = [_over(season, pair) for pair in season[-1].alike if pair.similarity >= THRESHOLD]
    middle = median(run.middle for run in season)
    spread = NORMAL_SPREAD * max(median(run.spread for run in season), LEAST_SPREAD)
    chances = sorted((erfc((pair.similarity - middle) / spread / sqrt(2)) / 2, pair) for pair in candidates)
    size = len(season[-1].hotkeys)
    allowed = FALSE_DISCOVERIES / (size * (size - 1) / 2)
    significant = max((rank for rank, (chance, _) in enumerate(chances, 1) if chance <= rank * allowed), default=0)
    return sorted(pair for _, pair in chances[:significant] if _is_guilty(pair))


def _over(season: Sequence[Likeness], pair: Alike) -> NearCopy:
    both = {pair.one, pair.other}
    runs = [run for run in season if both <= set(run.hotkeys)]
    found = [each for run in runs for each in run.alike if {each.one, each.other} == both]
    similar = [each.similarity for each in found] + [0.0] * (len(runs) - len(found))
    return NearCopy(pair.one, pair.other, len(runs), sum(each.components for each in found), median(similar))


def _is_guilty(pair: NearCopy) -> bool:
    return pair.runs >= FEWEST_RUNS and pair.components >= FEWEST_COMPONENTS and pair.similarity >= THRESHOLD
