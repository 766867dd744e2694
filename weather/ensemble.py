"""The ensemble of the miners: who is a member, what each weighs by its past error, and their weighted mean."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import fsum
from typing import NamedTuple

import numpy as np

from weather.fields import Field

PAST_ROUNDS = 30
FEWEST_RUNS = 10
MOST_MEMBERS = 20
LEAST_ERROR = 0.01
RUNS_OF_HALF_TRUST = 20

Errors = Mapping[int, tuple[float, float]]


@dataclass(frozen=True)
class Candidate:
    """A miner with all fields of one variable and lead.

    Attributes:
        leaf_index: place of its commitment in the log.
        digests: of its fields in this run.
        past: sums (D2, Q2) by level in each earlier run in which it has all of them, by run id.
    """

    hotkey: str
    leaf_index: int
    digests: frozenset[str]
    past: Mapping[str, Errors]


class Member(NamedTuple):
    """A member with its past error ρ and its weight."""

    hotkey: str
    error: float
    weight: float


def weigh_members(candidates: Iterable[Candidate], level_weights: Mapping[int, int]) -> list[Member]:
    """Members in ascending hotkey order with weights that add up to 1; none if fewer than two are left.

    Who shares a field with an earlier commitment is a copy and counts no more. Members are the candidates with the
    longest past that still have ten runs in common; errors are over those runs, and the best twenty stay.
    """
    known, runs = _with_common_past(_without_copies(candidates))
    ranked = sorted((past_error([one.past[run] for run in runs], level_weights), one.hotkey) for one in known)
    best = sorted(ranked[:MOST_MEMBERS], key=lambda pair: pair[1])
    if len(best) < 2:
        return []
    shares = weights([error for error, _ in best], len(runs))
    return [Member(hotkey, error, weight) for (error, hotkey), weight in zip(best, shares, strict=True)]


def past_error(runs: Sequence[Errors], level_weights: Mapping[int, int]) -> float:
    """Past error ρ: D2/Q2 over all runs, averaged over levels by their weights."""
    ratios = {
        level: fsum(run[level][0] for run in runs) / fsum(run[level][1] for run in runs) for level in level_weights
    }
    return fsum(weight * ratios[level] for level, weight in level_weights.items()) / sum(level_weights.values())


def weights(errors: Sequence[float], runs: int) -> list[float]:
    """Weights by past error, shrunk to equal ones as far as the past is short.

    Source: Bates and Granger (1969), doi 10.1057/jors.1969.103.
    """
    inverse = [1.0 / max(error, LEAST_ERROR) for error in errors]
    trust, total = runs / (runs + RUNS_OF_HALF_TRUST), fsum(inverse)
    return [(1.0 - trust) / len(errors) + trust * (each / total) for each in inverse]


def mean_field(members: Iterable[tuple[float, Field]]) -> Field:
    """Weighted mean in float64, summed in the order given and rounded once; ValueError without a member."""
    total, first = None, None
    for weight, field in members:
        first = first or field
        total = np.zeros(field.grid.shape) if total is None else total
        total += weight * field.values.astype(np.float64)
    if total is None or first is None:
        raise ValueError("an ensemble has members")
    return Field.of(first.grid, first.variable, first.level, first.valid_time, total)


def _without_copies(candidates: Iterable[Candidate]) -> list[Candidate]:
    own: list[Candidate] = []
    seen: set[str] = set()
    for candidate in sorted(candidates, key=lambda one: one.leaf_index):
        if not candidate.digests & seen:
            own.append(candidate)
        seen |= candidate.digests
    return own


def _with_common_past(candidates: Iterable[Candidate]) -> tuple[list[Candidate], list[str]]:
    chosen: list[Candidate] = []
    common: set[str] = set()
    for candidate in sorted(candidates, key=lambda one: (-len(one.past), one.hotkey)):
        shared = common & candidate.past.keys() if chosen else set(candidate.past)
        if len(shared) >= FEWEST_RUNS:
            chosen.append(candidate)
            common = shared
    return chosen, sorted(common)
