"""AT-W1: the golden vectors W1 … W14; and the bounds of every parameter."""

import json
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from tests.unit.weather.weights.rounds import BASELINE, constant, newcomer, paid, round_of, standings
from weather.faults import ConfigurationInvalid
from weather.weights.apportion import as_u16, payable
from weather.weights.policies import ParetoSubsets, Policy, Proportional, WinnerTakesAll, shares
from weather.weights.window import Window

PARETO, WINNER, SHARED = ParetoSubsets(), WinnerTakesAll(), Proportional()
SPECIALIST, GENERALIST = (0.95, 0.4, 0.4), (0.7, 0.7, 0.7)
W1 = {"a": SPECIALIST, "b": GENERALIST}


def alike(*scores: float) -> dict[str, tuple[float, ...]]:
    """Miners a, b, … with the same score in each of three groups."""
    return {"abc"[number]: (score,) * 3 for number, score in enumerate(scores)}


@pytest.mark.parametrize(
    ("scores", "n", "baseline", "points"),
    [
        (W1, 25, 0, (1, 11)),
        (dict(reversed(W1.items())), 25, 0, (11, 1)),
        ({"b": GENERALIST, "a": SPECIALIST, "c": GENERALIST}, 25, 0, (11, 1, 0)),
        (alike(0, 0, 0), 25, 0, (0, 0, 0)),
        (alike(0.99, 1), 1, 0, (0, 12)),
        (alike(0.99, 1), 25, 0, (0, 12)),
        (alike(0.5, 0.52), 25, 0, (12, 0)),
        (alike(0.5, 0.52), 56, 0, (12, 0)),
        (alike(0.5, 0.52), 57, 0, (0, 12)),
        ({"a": (0.9, 0.5, 0.1), "b": (0.1, 0.9, 0.5), "c": (0.5, 0.1, 0.9)}, 25, 0, (6, 3, 3)),
        ({"a": (0.3, 0.3, 0.3), "b": (0.5, 0.3, 0.3)}, 25, 0.3, (0, 8)),
        ({"a": (0.6, 0.6, 0), "b": (0.5, 0.5, 0.5)}, 25, 0, (4, 8)),
        ({"a": (0.70,), "b": (0.71,), "c": (0.725,)}, 25, 0, (0, 0, 1)),
    ],
)
def test_points_of_the_goldens(scores: dict[str, Any], n: int, baseline: float, points: tuple[int, ...]) -> None:
    """W1 … W7; what no miner wins is the baseline's."""
    won = PARETO.won(constant(scores, n, baseline), standings(*scores))
    groups = len(next(iter(scores.values())))
    assert tuple(won[hotkey] for hotkey in scores) == points
    assert won["burn"] == groups * 2 ** (groups - 1) - sum(points)


def test_shares_of_the_specialist_and_the_generalist() -> None:
    window = constant(W1)
    assert paid(PARETO, window, "a", "b") == [83_333_333, 916_666_667, 0]
    assert paid(ParetoSubsets(temperature_ppm=500_000), window, "a", "b") == [8_196_721, 991_803_279, 0]
    assert paid(ParetoSubsets(temperature_ppm=1), window, "a", "b") == [0, 10**9, 0]
    assert paid(PARETO, constant(alike(0, 0, 0)), "a", "b", "c") == [0, 0, 0, 10**9]
    for kind, points in (("exponential", [1, 12]), ("equal", [1, 6])):
        won = ParetoSubsets.model_validate({"points": kind}).won(window, standings("a", "b"))
        assert [won["a"], won["b"]] == points


def test_the_gap_shrinks_with_the_root_of_the_rounds() -> None:
    gaps = [PARETO.gap(n) for n in (1, 4, 9, 25, 28, 57, 100, 225, 400)]
    assert gaps == [300_000, 150_000, 100_000, 60_000, 56_694, 39_735, 30_000, 20_000, 20_000]
    assert ParetoSubsets(q_ppm=10**6).gap(1) == 500_000


LEADS_FROM = [(0.8, 22, True), (0.8, 21, False), (0.64, 28, True), (0.64, 27, False), (0.62, 28, False)]


@pytest.mark.parametrize(("score", "last", "all_points"), LEADS_FROM)
def test_a_newcomer_leads_after_its_rounds(score: float, last: int, all_points: bool) -> None:
    """W8 and AT-W7: a junior with half the error of the leader, from its 22nd of 28 rounds on."""
    window = newcomer("b", last, constant(alike(0.6, score), 28))
    won = PARETO.won(window, standings("a", "b", b=28 - last))
    assert won["b"] == (12 if all_points else 0)
    assert won["a"] == 12 - won["b"]


def test_a_void_group_leaves_its_sets_to_the_other_rounds() -> None:
    held = [round_of(n, {"a": (0.5, 0.1), "b": (0.5, 0.9)}, (0, -1 if n < 24 else 0)) for n in range(25)]
    won = PARETO.won(Window(held, BASELINE), standings("a", "b"))
    assert won == {"a": 1, "b": 3, "burn": 0}
    never = [round_of(n, {"a": (0.5, 0.1)}, (0, -1)) for n in range(25)]
    assert PARETO.won(Window(never, BASELINE), standings("a")) == {"a": 1, "burn": 0}


def test_a_round_without_its_baseline_compares_nobody() -> None:
    window = constant(alike(0.5, 0.6), 3, 0.1)
    blind = replace(window.rounds[0], serial=9, totals={"a": 10**9}, scores={"a": dict.fromkeys("xyz", 10**9)})
    for policy in (PARETO, WINNER, SHARED):
        assert paid(policy, Window([*window.rounds, blind], BASELINE), "a", "b") == paid(policy, window, "a", "b")
        assert (
            paid(policy, Window([blind], BASELINE), "a", "b")
            == paid(policy, Window([], BASELINE), "a", "b")
            == [0, 0, 10**9]
        )


def won_by(winners: str) -> Window:
    return Window(
        [
            round_of(n, {"a": [0.7], "b": [0.7 + 0.1 * (w == "b") - 0.1 * (w == "a")]}, [0.4])
            for n, w in enumerate(winners)
        ],
        BASELINE,
    )


def test_the_average_of_one_constant_winner() -> None:
    """W9."""
    for n, expected in enumerate((0.1, 0.19, 0.271, 0.3439, 0.40951, 0.468559, 0.5217031), 1):
        assert WINNER.average(won_by("a" * n), standings("a"))["a"] == pytest.approx(expected, abs=1e-12)
        assert paid(WINNER, won_by("a" * n), "a", "b") == [10**9, 0, 0]


def test_the_average_of_changing_winners() -> None:
    """W10 and W11."""
    average = WINNER.average(won_by("aaab"), standings("a", "b"))
    assert average == pytest.approx({"a": 0.2439, "b": 0.1}, abs=1e-12)
    assert paid(WINNER, won_by("aaab"), "a", "b") == [709_217_796, 290_782_204, 0]
    assert as_u16(payable(shares(WINNER, won_by("aaab"), standings("a", "b")), None)) == {"a": 65_535, "b": 26_870}
    later = [paid(WINNER, won_by("aaabbbbbbb"[:n]), "a", "b")[1] for n in range(4, 11)]
    assert [round(share / 10**9, 6) for share in later] == [
        0.290782,
        0.463969,
        0.578369,
        0.659187,
        0.719028,
        0.764895,
        0.800992,
    ]


def test_a_round_has_no_winner_at_or_below_the_baseline_and_the_senior_one_of_equals() -> None:
    assert paid(WINNER, constant(alike(0.4, 0.3), 5, 0.4), "a", "b") == [0, 0, 10**9]
    assert paid(WINNER, constant(alike(0.5, 0.5), 5, 0.4), "b", "a") == [10**9, 0, 0]
    assert WINNER.average(constant(alike(0.5), 5), []) == {}


W12 = constant({"a": [0.7], "b": [0.6], "c": [0.5], "d": [0.35]}, 1, 0.4)


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({}, [642_857_143, 285_714_286, 71_428_571, 0, 0]),
        ({"mass": "softmax"}, [701_858_006, 234_953_315, 63_188_679, 0, 0]),
        ({"burn_rate_ppb": 750_000_000}, [160_714_285, 71_428_571, 17_857_142, 0, 750_000_002]),
    ],
)
def test_proportional_shares_of_one_round(parameters: dict[str, Any], expected: list[int]) -> None:
    """W12, W13."""
    assert paid(Proportional(**parameters), W12, "a", "b", "c", "d") == expected


def test_of_an_identity_class_one_member_is_paid() -> None:
    """W13; a class that is named like a hotkey is another one."""
    classes = {"a": "c", "b": "c"}
    held = [replace(each, identity_class=classes.get(each.hotkey)) for each in standings(*"dcba")]
    made = shares(SHARED, W12, held)
    assert [made[hotkey] for hotkey in "abcd"] == [900_000_000, 0, 100_000_000, 0]
    equal = [replace(each, identity_class="x") for each in standings(*"ba")]
    assert shares(SHARED, constant(alike(0.5, 0.5)), equal)["b"] == 10**9


def test_a_newcomer_is_paid_pro_rata() -> None:
    """W14."""
    window = newcomer("b", 7, constant({"a": [0.5], "b": [0.8]}, 28, 0.4))
    made = shares(Proportional(power=1), window, standings("a", "b", b=21))
    assert made == {"a": 500_000_000, "b": 500_000_000, "burn": 0}
    assert paid(Proportional(power=1), constant(alike(1, 1, 1)), "a", "b", "c") == [
        333_333_334,
        333_333_333,
        333_333_333,
        0,
    ]


def test_who_never_joined_or_is_the_burn_hotkey_gets_nothing() -> None:
    for kind in (ParetoSubsets, WinnerTakesAll, Proportional):
        window = constant(alike(0.5, 0.8), 3, 0.1)
        assert shares(kind(), window, standings("a", "b", b=None))["a"] == 10**9
        assert shares(kind(burn_hotkey="b"), window, standings("a", "b")) == {
            "a": 10**9,
            "burn": 0,
        }


OUTSIDE = [-1, "NaN", float("nan"), float("inf"), 10**30]
ZERO_ALLOWED = {"q_ppm", "gamma_min_ppm", "gamma_max_ppm", "burn_rate_ppb"}
NUMBERS = [
    (kind.model_fields["policy"].default, name)
    for kind in (ParetoSubsets, WinnerTakesAll, Proportional)
    for name, field in kind.model_fields.items()
    if type(field.default) is int
]


def parse_policy(document: Any) -> Policy:
    adapter: TypeAdapter[Policy] = TypeAdapter(Policy)
    return adapter.validate_json(document) if isinstance(document, str) else adapter.validate_python(document)


@pytest.mark.parametrize(("policy", "name"), NUMBERS)
def test_a_parameter_out_of_its_bounds_is_named(policy: str, name: str) -> None:
    """AT-W6; `version` and the rounds of the average are fixed words."""
    for value in [*OUTSIDE, *([] if name in ZERO_ALLOWED else [0])]:
        for document in ({"policy": policy, name: value}, json.dumps({"policy": policy, name: value})):
            with pytest.raises(ValidationError, match=rf"{policy}\.{name}\n") as refused:
                parse_policy(document)
            assert str(value).lower()[:20] in str(refused.value).lower()


@pytest.mark.parametrize(
    ("document", "named"),
    [
        (
            {"policy": "pareto_subsets", "gamma_min_ppm": 30_000, "gamma_max_ppm": 20_000},
            "gamma_min_ppm 30000 is above",
        ),
        ({"policy": "proportional", "power": 4}, "power\n.*input_value=4"),
        ({"policy": "proportional", "mass": "mean"}, "mass\n.*input_value='mean'"),
        ({"policy": "winner_takes_all", "alpha": 0.1}, "alpha"),
        ({"policy": "uniform"}, "uniform"),
        ({}, "policy"),
        ("[", "JSON"),
    ],
)
def test_another_policy_or_parameter_is_refused(document: Any, named: str) -> None:
    with pytest.raises(ValidationError, match=named):
        parse_policy(document)


def test_more_than_six_groups_are_refused() -> None:
    with pytest.raises(ConfigurationInvalid, match="groups"):
        PARETO.won(constant({"a": [0.5] * 7}), standings("a"))
    assert PARETO.won(constant({"a": [0.5] * 6}), standings("a"))["a"] == 192


READS: Counter[str] = Counter()


class Counting(dict[str, int]):
    """Counts how often its scores are read."""

    def get(self, key: str, default: Any = None) -> Any:
        READS["scores"] += 1
        return super().get(key, default)


def test_each_score_is_read_once_for_all_sets_of_groups() -> None:
    """AT-W8: 256 miners, 6 groups, 28 rounds cost one pass over the scores and not one for each of 63 sets."""
    miners = {f"m{number:03}": [0.5] * 6 for number in range(256)}
    window = constant(miners, 28)
    rounds = [replace(each, scores={h: Counting(p) for h, p in each.scores.items()}) for each in window.rounds]
    PARETO.won(Window(rounds, BASELINE), standings(*miners))
    assert READS["scores"] == 257 * 6 * 28
