"""The seams at which rounds are killed are there."""

from __future__ import annotations

from functools import reduce
from importlib import import_module

import pytest

from tests.chaos.test_kill_points import POINTS

SEAMS = [point.seam for point in POINTS if point.seam]


@pytest.mark.parametrize("seam", SEAMS)
def test_a_seam_names_a_function(seam: str) -> None:
    module, name, moment, *number = seam.split(":")
    assert callable(reduce(getattr, name.split("."), import_module(module)))
    assert moment in ("before", "after") and all(each.isdigit() for each in number)
