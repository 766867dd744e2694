from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.clones import Copy, ScoredField, exact_clones

OWNER, COPIER, THIRD, FOURTH = "owner", "copier", "third", "fourth"
ORDER = [OWNER, COPIER, THIRD, FOURTH]


def fields(hotkey: str, *digests: str) -> list[ScoredField]:
    return [ScoredField(hotkey, digest) for digest in digests]


@pytest.mark.parametrize(("scored", "guilty"), [(10, True), (11, False), (1, True)])
def test_a_tenth_is_a_clone_and_less_is_none(scored: int, guilty: bool) -> None:
    shared = fields(OWNER, "a") + fields(COPIER, "a")
    found = exact_clones(shared, {OWNER: 10, COPIER: scored}, ORDER)
    assert found == ([Copy(COPIER, OWNER, 1, scored)] if guilty else [])


def test_it_falls_on_the_later_leaf_alone_whatever_the_order_of_facts() -> None:
    shared = fields(COPIER, "a", "b") + fields(OWNER, "b", "a")
    assert [copy.hotkey for copy in exact_clones(shared, dict.fromkeys(ORDER, 2), ORDER)] == [COPIER]
    assert [copy.hotkey for copy in exact_clones(shared, dict.fromkeys(ORDER, 2), ORDER[::-1])] == [OWNER]


def test_of_five_equal_forecasts_four_are_clones_of_the_first() -> None:
    hotkeys = [*ORDER, "fifth"]
    shared = [field for hotkey in hotkeys for field in fields(hotkey, "a", "b", "c")]
    found = exact_clones(shared, dict.fromkeys(hotkeys, 3), hotkeys)
    assert {(copy.hotkey, copy.owner) for copy in found} == {(hotkey, OWNER) for hotkey in hotkeys[1:]}


def test_a_mosaic_of_many_is_a_clone_of_the_one_of_whom_it_has_most() -> None:
    shared = fields(OWNER, "a") + fields(COPIER, "b", "c") + fields(THIRD, "a", "b", "c")
    assert exact_clones(shared, dict.fromkeys(ORDER, 20), ORDER) == [Copy(THIRD, COPIER, 3, 20)]


def test_one_field_for_many_leads_is_counted_for_each() -> None:
    shared = fields(OWNER, "a") + fields(COPIER, *["a"] * 5)
    assert exact_clones(shared, dict.fromkeys(ORDER, 50), ORDER) == [Copy(COPIER, OWNER, 5, 50)]


def test_fields_of_ones_own_at_several_leads_are_no_copies() -> None:
    assert exact_clones(fields(OWNER, "a", "a", "a"), {OWNER: 3}, ORDER) == []


@given(st.lists(st.tuples(st.sampled_from(ORDER), st.sampled_from("abcdef")), unique=True))
def test_the_first_leaf_is_never_a_clone(shared: list[tuple[str, str]]) -> None:
    found = exact_clones([ScoredField(*one) for one in shared], dict.fromkeys(ORDER, 6), ORDER)
    assert OWNER not in {copy.hotkey for copy in found}
