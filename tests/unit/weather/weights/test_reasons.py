"""Why a share is what it is: below the baseline, within the gap, a class member, not registered, burned."""

from dataclasses import replace

import pytest

from tests.unit.weather.weights.rounds import constant, standings
from weather.weights.policies import ParetoSubsets, Policy, Proportional, WinnerTakesAll, reasons
from weather.weights.window import Standing, Window

PARETO = ParetoSubsets()
W1 = constant({"a": (0.95, 0.4, 0.4), "b": (0.7, 0.7, 0.7), "c": (0.7, 0.7, 0.71)}, baseline=0.5)
EQUAL = constant({"a": (0.6,), "b": (0.6,), "c": (0.3,)}, baseline=0.5)


@pytest.mark.parametrize(
    ("policy", "window", "hotkey", "told"),
    [
        (
            PARETO,
            W1,
            "a",
            ["champion of g0", "not above the baseline in g1 and 2 more", "beaten by b on g0+g1 and 2 more"],
        ),
        (PARETO, W1, "c", ["beaten by a on g0", "within the gap of senior b on g1 and 5 more"]),
        (PARETO, constant({"a": (0.51,)}, baseline=0.5), "a", ["within the gap of the baseline on g0"]),
        (PARETO, EQUAL, "c", ["not above the baseline in g0"]),
        (PARETO, EQUAL, "nobody", ["not registered"]),
        (ParetoSubsets(burn_hotkey="c"), EQUAL, "c", ["is paid what is burned"]),
        (ParetoSubsets(burn_rate_ppb=10**9), EQUAL, "a", ["100% of each share is burned", "champion of g0"]),
        (WinnerTakesAll(), EQUAL, "b", ["b won 0 of 25", "a won 25 of 25"]),
        (WinnerTakesAll(), constant({"a": (0.4,)}, baseline=0.5), "a", ["a won 0 of 25", "the baseline won 25 of 25"]),
        (Proportional(), EQUAL, "a", ["R − B comes to +2.500000000 over 25 rounds"]),
        (Proportional(), EQUAL, "c", ["not above the baseline", "R − B comes to -5.000000000 over 25 rounds"]),
    ],
)
def test_each_share_has_its_reasons(policy: Policy, window: Window, hotkey: str, told: list[str]) -> None:
    assert reasons(policy, window, standings("a", "b", "c"), hotkey) == told


def test_a_class_member_names_who_is_paid_in_its_place_and_a_newcomer_is_as_good_as_the_baseline() -> None:
    twins = [replace(each, identity_class="twins") for each in standings("a", "b")]
    assert reasons(Proportional(), EQUAL, twins, "b")[-1] == "class member of a"
    assert len(reasons(Proportional(), EQUAL, twins, "a")) == 1
    assert "as good as the baseline" in reasons(PARETO, EQUAL, [Standing("d", 9, None)], "d")[0]
