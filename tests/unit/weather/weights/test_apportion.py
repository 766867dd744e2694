"""Largest remainder, burn, and the mapping to what a chain takes."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weather.faults import NothingToPublish
from weather.weights.apportion import apportion, as_u16, burned, capped, payable, registered, whole_masses

W12 = {"a": 642_857_143, "b": 285_714_286, "c": 71_428_571}
MASSES = st.dictionaries(st.sampled_from("abcdefgh"), st.integers(0, 9), min_size=1)


def test_the_odd_ones_go_to_the_largest_remainders_then_by_hotkey_and_to_burn_last() -> None:
    assert apportion({"c": 1, "b": 1, "burn": 1}, 10) == {"c": 3, "b": 4, "burn": 3}
    assert apportion({"burn": 1, "c": 1, "b": 1}, 11) == {"burn": 3, "c": 4, "b": 4}
    assert apportion({"a": 15, "b": 5, "c": 1}, 10) == {"a": 7, "b": 2, "c": 1}
    assert apportion({"a": 0, "burn": 0}, 10) == {"a": 0, "burn": 10}


@settings(max_examples=2_000, deadline=None)
@given(MASSES, st.integers(1, 10**9), st.integers(0, 10**9))
def test_shares_are_whole_sum_to_the_total_and_stray_less_than_one(
    masses: dict[str, int], total: int, rate: int
) -> None:
    shares = apportion(masses, total)
    assert sum(shares.values()) == total
    whole = sum(masses.values())
    assert not whole or all(abs(shares[name] - Fraction(masses[name] * total, whole)) < 1 for name in masses)
    left = burned(apportion(masses), rate)
    assert sum(left.values()) == 10**9
    assert min(left.values()) >= 0


def test_masses_of_a_float_become_whole_once() -> None:
    third = {"a": Decimal("0.1"), "b": Decimal("0.3"), "c": Decimal(0)}
    assert whole_masses(third) == {"a": 333_333_333_333_333, "b": 10**15, "c": 0}
    assert whole_masses({"a": Decimal(0)}) == {"a": 0}
    assert whole_masses({"a": Decimal("2.5e-15"), "b": Decimal(1)})["a"] == 2


def test_burn_is_paid_to_its_hotkey_or_scaled_away_and_never_made_uniform() -> None:
    shares = {"b": 250_000_000, "a": 150_000_000, "z": 0, "burn": 600_000_000}
    assert list(payable(shares, "h").items()) == [("a", 150_000_000), ("b", 250_000_000), ("h", 600_000_000)]
    assert payable(shares, None) == {"a": 375_000_000, "b": 625_000_000}
    assert payable({"a": 0, "burn": 10**9}, "h") == {"h": 10**9}
    with pytest.raises(NothingToPublish):
        payable({"a": 0, "burn": 10**9}, None)


def test_who_is_gone_is_taken_out_and_the_rest_scaled() -> None:
    assert registered(W12, {"a", "c", "x"}) == {"a": 900_000_001, "c": 99_999_999}
    assert registered(W12, W12) == W12
    with pytest.raises(NothingToPublish):
        registered(W12, {"x"})


def test_water_filling() -> None:
    assert capped(W12, 500_000_000) == {"a": 500_000_000, "b": 400_000_001, "c": 99_999_999}
    assert capped(W12, 10**9) == W12
    assert capped(W12, 350_000_000) == {"a": 350_000_000, "b": 350_000_000, "c": 300_000_000}
    for few in (W12, {}):
        with pytest.raises(NothingToPublish):
            capped(few, 333_333_333)


@settings(max_examples=2_000, deadline=None)
@given(MASSES, st.integers(1, 10**9))
def test_a_cap_holds_keeps_the_whole_and_the_order(masses: dict[str, int], most: int) -> None:
    paid = {name: share for name, share in apportion(masses).items() if share}
    if len(paid) * most < 10**9:
        return
    filled = capped(paid, most)
    assert sum(filled.values()) == 10**9
    assert max(filled.values()) <= most
    assert all(filled[x] <= filled[y] + 1 for x in paid for y in paid if paid[x] <= paid[y])


def test_u16_is_relative_to_the_largest_and_drops_zeros() -> None:
    assert as_u16({"a": 709_217_796, "b": 290_782_204}) == {"a": 65_535, "b": 26_870}
    assert as_u16({"a": 10**9 - 7_629, "b": 7_629}) == {"a": 65_535}
    assert as_u16({"a": 10**9 - 7_630, "b": 7_630}) == {"a": 65_535, "b": 1}
