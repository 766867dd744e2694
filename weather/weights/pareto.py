"""The policy `pareto_subsets`: for each set of groups the senior one whom nobody beats by more than noise."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal, localcontext
from itertools import chain, combinations
from math import isqrt
from typing import Literal, NamedTuple

from pydantic import Field, model_validator

from weather.faults import ConfigurationInvalid
from weather.weights.apportion import BILLION, BURN, EXACT, whole_masses
from weather.weights.parameters import FLOOR, Parameters
from weather.weights.window import MILLION, Standing, Window

MOST_GROUPS = 6
Groups = frozenset[str]
Errors = Mapping[Groups, Mapping[str, int]]
_POINTS: dict[str, Callable[[int], int]] = {
    "linear": lambda size: size,
    "exponential": lambda size: 2 ** (size - 1),
    "equal": lambda size: 1,
}


class Contest(NamedTuple):
    """Who is the champion of a set of groups; the errors by hotkey stand by seniority, after the baseline's at BURN."""

    groups: tuple[str, ...]
    gap: int
    errors: Mapping[str, int]
    champion: str

    def lack(self, hotkey: str) -> str:
        """What keeps a hotkey from being the champion here."""
        mine, its, order = self.errors[hotkey], self.errors[self.champion], list(self.errors)
        if hotkey == self.champion:
            return "champion of"
        if mine >= self.errors[BURN]:
            return "not above the baseline in"
        if self.champion == BURN:
            return "within the gap of the baseline on"
        if _beats(its, mine, self.gap):
            return f"beaten by {self.champion} on"
        senior = order.index(self.champion) < order.index(hotkey)
        return f"within the gap of {'senior ' if senior else ''}{self.champion} on"


class ParetoSubsets(Parameters):
    """`pareto_subsets` 1.

    Attributes:
        q_ppm: gap of a single round, which shrinks with the root of the rounds between gamma_min and gamma_max.
        points: what the champion of a set gets by the size of the set.
        temperature_ppm: shares are proportional to points^(1/T).
    """

    policy: Literal["pareto_subsets"] = "pareto_subsets"
    version: Literal[1] = 1
    window: int = Field(28, ge=1, le=400)
    q_ppm: int = Field(300_000, ge=0, le=MILLION)
    gamma_min_ppm: int = Field(20_000, ge=0, le=900_000)
    gamma_max_ppm: int = Field(500_000, ge=0, le=900_000)
    points: Literal["linear", "exponential", "equal"] = "linear"
    temperature_ppm: int = Field(MILLION, ge=1, le=MILLION)

    @model_validator(mode="after")
    def _holds(self) -> ParetoSubsets:
        if self.gamma_min_ppm > self.gamma_max_ppm:
            raise ValueError(f"gamma_min_ppm {self.gamma_min_ppm} is above gamma_max_ppm {self.gamma_max_ppm}")
        return self

    def gap(self, rounds: int) -> int:
        """Part of an error in ppm by which another must be smaller to beat it, over so many rounds."""
        return min(self.gamma_max_ppm, max(self.gamma_min_ppm, isqrt(self.q_ppm**2 // rounds)))

    def won(self, window: Window, standings: Sequence[Standing]) -> dict[str, int]:
        """Points by hotkey; those of the baseline stand at BURN. Standings come by seniority."""
        won = dict.fromkeys((BURN, *(each.hotkey for each in standings)), 0)
        for contest in self.contests(window, standings):
            won[contest.champion] += _POINTS[self.points](len(contest.groups))
        return won

    def contests(self, window: Window, standings: Sequence[Standing]) -> Iterator[Contest]:
        """Each set of groups that is whole in any round, small ones first; ConfigurationInvalid for more than six."""
        groups = sorted(window.judged[-1].group_weights) if window.judged else []
        if len(groups) > MOST_GROUPS:
            raise ConfigurationInvalid("groups of a round", found=len(groups), expected=f"1 … {MOST_GROUPS}")
        whole = Counter(frozenset(round_.scores[window.baseline]) for round_ in window.judged)
        errors = {each.hotkey: _errors(window, each) for each in (FLOOR, *standings)}
        for subset in _subsets(groups):
            if rounds := sum(count for groups, count in whole.items() if groups.issuperset(subset)):
                here, gap = (
                    {hotkey: _error(each, frozenset(subset)) for hotkey, each in errors.items()},
                    self.gap(rounds),
                )
                yield Contest(subset, gap, here, _champion(here, gap))

    def reasons(self, window: Window, standings: Sequence[Standing], hotkey: str) -> list[str]:
        """What a hotkey lacks, each with the smallest set of groups in which it does."""
        lacks: dict[str, list[str]] = {}
        for contest in self.contests(window, standings):
            lacks.setdefault(contest.lack(hotkey), []).append("+".join(contest.groups))
        return [
            f"{lack} {first}" + (f" and {len(more)} more" if more else "") for lack, (first, *more) in lacks.items()
        ]

    def masses(self, window: Window, standings: Sequence[Standing]) -> dict[str, int]:
        """The points, raised to 1/T if T is not 1."""
        won = self.won(window, standings)
        if self.temperature_ppm == MILLION or not any(won.values()):
            return won
        with localcontext(EXACT):
            power, most = Decimal(MILLION) / self.temperature_ppm, max(won.values())
            return whole_masses({hotkey: (Decimal(points) / most) ** power for hotkey, points in won.items()})


def _errors(window: Window, contestant: Standing) -> Errors:
    """10^9 − p summed by group over the rounds that have the same groups without void ones."""
    sums: defaultdict[Groups, Counter[str]] = defaultdict(Counter)
    for round_ in window.judged:
        whole = frozenset(round_.scores[window.baseline])
        scores = window.group_scores(round_, contestant)
        for group in whole:
            sums[whole][group] += BILLION - scores.get(group, 0)
    return sums


def _error(errors: Errors, subset: Groups) -> int:
    return sum(sums[group] for whole, sums in errors.items() if subset <= whole for group in subset)


def _champion(errors: Mapping[str, int], gap: int) -> str:
    """The last in the order of the errors who beats the one that was the champion then."""
    champion, *others = errors
    for other in others:
        if _beats(errors[other], errors[champion], gap):
            champion = other
    return champion


def _beats(error: int, other: int, gap: int) -> bool:
    return MILLION * error < (MILLION - gap) * other


def _subsets(groups: Sequence[str]) -> chain[tuple[str, ...]]:
    return chain.from_iterable(combinations(groups, size) for size in range(1, len(groups) + 1))
