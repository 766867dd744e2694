from __future__ import annotations

from collections import Counter

import pytest

from weather.clones import Copy, exact_clones


@pytest.mark.parametrize(("scored", "guilty"), [(10, True), (11, False), (1, True), (9, True), (100, False)])
def test_a_tenth_is_a_clone_and_less_is_none(scored: int, guilty: bool) -> None:
    found = exact_clones({"copier": Counter(owner=1)}, {"owner": 10, "copier": scored})
    assert found == ([Copy("copier", "owner", 1, scored)] if guilty else [])


def test_a_mosaic_of_many_is_a_clone_of_the_one_of_whom_it_has_most() -> None:
    mosaic = {f"miner-{number}": number for number in range(1, 5)}
    assert exact_clones({"copier": Counter(mosaic)}, {"copier": 100}) == [Copy("copier", "miner-4", 10, 100)]
    assert exact_clones({"copier": Counter(mosaic)}, {"copier": 101}) == []


def test_who_copies_nothing_is_no_clone() -> None:
    assert exact_clones({}, {"owner": 3}) == exact_clones({"owner": Counter()}, {"owner": 3}) == []
