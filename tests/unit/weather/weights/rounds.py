"""Rounds of constant scores for the tests of weights."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction

from weather.weights.policies import Policy, shares
from weather.weights.window import RoundState, Standing, Window

BASELINE = "baseline/climatology"
Parts = Sequence[float]


def nano(score: float) -> int:
    return round(score * 10**9)


def round_of(serial: int, scores: Mapping[str, Parts], baseline: Parts) -> RoundState:
    """A closed round; a part of the baseline that is negative stands for a void group."""
    groups = [f"g{number}" for number in range(len(baseline))]
    whole = [number for number, b in enumerate(baseline) if b >= 0]
    parts = {hotkey: {groups[g]: nano(p[g]) for g in whole} for hotkey, p in {**scores, BASELINE: baseline}.items()}
    totals = {hotkey: round(Fraction(sum(p.values()), max(1, len(p)))) for hotkey, p in parts.items()}
    return RoundState(serial, f"r{serial}", "closed", Fraction(1), serial, dict.fromkeys(groups, 1), parts, totals)


def constant(scores: Mapping[str, Parts], n: int = 25, baseline: float = 0.0) -> Window:
    """The same scores in each of n rounds."""
    groups = len(next(iter(scores.values())))
    return Window([round_of(serial, scores, [baseline] * groups) for serial in range(n)], BASELINE)


def newcomer(hotkey: str, last: int, window: Window) -> Window:
    """The window in which the hotkey was on the roster in the last rounds only."""
    kept = len(window.rounds) - last
    first = [
        replace(
            each,
            scores={name: parts for name, parts in each.scores.items() if name != hotkey},
            totals={name: total for name, total in each.totals.items() if name != hotkey},
        )
        for each in window.rounds[:kept]
    ]
    return Window([*first, *window.rounds[kept:]], window.baseline)


def standings(*hotkeys: str, **entries: int | None) -> list[Standing]:
    """By seniority in the order of naming."""
    return [Standing(hotkey, number, entries.get(hotkey, 0)) for number, hotkey in enumerate(hotkeys)]


def paid(policy: Policy, window: Window, *hotkeys: str) -> list[int]:
    """Shares in the order of naming, then that of BURN."""
    made = shares(policy, window, standings(*hotkeys))
    return [made[name] for name in (*hotkeys, "burn")]
