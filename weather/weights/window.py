"""Which rounds count, and since when each hotkey does; times are integer seconds, and no float takes part."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from operator import attrgetter
from typing import NamedTuple

from weather.faults import ConfigurationInvalid
from weather.round_score import Outcome

CADENCES = (21_600, 43_200, 86_400)
SHORTEST_TEMPO = 60
MILLION = 10**6


class Span(NamedTuple):
    """A half-open window [start, end) with its number."""

    index: int
    start: int
    end: int


@dataclass(frozen=True)
class RoundState:
    """A round as the ledger holds it; the baseline stands among the hotkeys under its own name.

    Attributes:
        closed_at: None while the round is open, as is its outcome.
        group_weights: v_g of each group of its score spec, void ones too.
        scores: p in nano by hotkey of the roster and group, without void groups.
        totals: R in nano by hotkey of the roster.
    """

    serial: int
    run_id: str
    outcome: Outcome | None
    coverage: Fraction
    closed_at: int | None
    group_weights: Mapping[str, int]
    scores: Mapping[str, Mapping[str, int]]
    totals: Mapping[str, int]


@dataclass(frozen=True)
class Standing:
    """A hotkey that is registered when the weights are made.

    Attributes:
        registered_at: start of its unbroken, enabled presence in the registry.
        entry: serial of the first counted round since then that has it on its roster.
        identity_class: name of those taken for one miner; None for itself alone.
    """

    hotkey: str
    registered_at: int
    entry: int | None
    identity_class: str | None = None

    @property
    def seniority(self) -> tuple[int, str]:
        """Ascending: the smaller one is the senior."""
        return self.registered_at, self.hotkey


@dataclass(frozen=True)
class Window:
    """Counted rounds in their order, and the name under which the baseline is scored in them."""

    rounds: Sequence[RoundState]
    baseline: str

    @cached_property
    def judged(self) -> tuple[RoundState, ...]:
        """The rounds that have a baseline; without one nobody can be compared."""
        return tuple(round_ for round_ in self.rounds if self.baseline in round_.totals)

    def total(self, round_: RoundState, standing: Standing) -> int:
        """R: that of the baseline before entry, and 0 for who is not on the roster afterwards."""
        return round_.totals.get(self._name(round_, standing), 0)

    def group_scores(self, round_: RoundState, standing: Standing) -> Mapping[str, int]:
        """Scores p by group, as `total`; empty stands for 0 in each group."""
        return round_.scores.get(self._name(round_, standing), {})

    def _name(self, round_: RoundState, standing: Standing) -> str:
        joined = standing.entry is not None and standing.entry <= round_.serial
        return standing.hotkey if joined else self.baseline


def window_of(x: int, origin: int, length: int) -> Span:
    """The window of this length that holds x, from the origin; ConfigurationInvalid if length < 1 or x < origin."""
    if length < 1 or x < origin:
        raise ConfigurationInvalid("no such window", found=f"x {x}, length {length}", expected=f"x ≥ {origin}, ≥ 1")
    index, offset = divmod(x - origin, length)
    return Span(index, x - offset, x - offset + length)


def serial_of(init_time_s: int, genesis_s: int, cadence_s: int) -> int:
    """Number of a round since the genesis; ConfigurationInvalid for another cadence, or an init time that is none."""
    if cadence_s not in CADENCES:
        raise ConfigurationInvalid("cadence of rounds in seconds", found=cadence_s, expected=CADENCES)
    span = window_of(init_time_s, genesis_s, cadence_s)
    if span.start != init_time_s:
        raise ConfigurationInvalid("init time is not one of a round", found=init_time_s, expected=span.start)
    return span.index


def epoch_of(t_s: int, genesis_s: int, tempo_s: int) -> Span:
    """The epoch that holds t; ConfigurationInvalid for a tempo below a minute, or t before the genesis."""
    if tempo_s < SHORTEST_TEMPO:
        raise ConfigurationInvalid("tempo_seconds is too short", found=tempo_s, expected=f"≥ {SHORTEST_TEMPO}")
    return window_of(t_s, genesis_s, tempo_s)


def head(rounds: Iterable[RoundState], as_of_s: int) -> int | None:
    """Largest serial such that it and all from the first given one on were closed before as_of; None without any."""
    last: int | None = None
    for round_ in sorted(rounds, key=attrgetter("serial")):
        follows = last is None or round_.serial == last + 1
        if not follows or round_.closed_at is None or round_.closed_at >= as_of_s:
            break
        last = round_.serial
    return last


def counted_window(
    rounds: Iterable[RoundState], head: int | None, size: int, min_coverage_ppm: int
) -> tuple[RoundState, ...]:
    """The last `size` counted rounds up to the head, ascending; a void round is as if it had never been."""
    if head is None:
        return ()
    closed = [each for each in rounds if each.serial <= head and each.outcome in ("closed", "closed_partial")]
    counted = [each for each in closed if each.coverage * MILLION >= min_coverage_ppm]
    return tuple(sorted(counted, key=attrgetter("serial"))[-size:])
