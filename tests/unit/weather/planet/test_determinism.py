from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from weather.grids import Grid
from weather.planet.planet import Planet
from weather.planet.sines import cosine, logarithm, sine

ROOT = Path(__file__).parents[4]
DIGEST = "5aec65f938ab956f42884f4b6664de25f7ada243d0c497722dc3786e05458a1f"
DISABLED_FEATURES = ["", "X86_V4 AVX512_ICL AVX512_SPR", "X86_V3 X86_V4 AVX512_ICL AVX512_SPR"]


@pytest.mark.parametrize("disabled", DISABLED_FEATURES, ids=["every feature", "no AVX-512", "no AVX2"])
def test_same_seed_gives_the_same_bytes_in_other_processes_and_on_lesser_processors(disabled: str) -> None:
    """AT-D26"""
    script = Path(__file__).with_name("digest_of_fields.py")
    environment = os.environ | {"NPY_DISABLE_CPU_FEATURES": disabled, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-W", "ignore", str(script)]
    assert subprocess.run(command, env=environment, capture_output=True, check=True).stdout.decode() == DIGEST


def test_another_seed_gives_other_bytes() -> None:
    grid = Grid("small", 60_000_000, -30_000_000, 3, 0, 90_000_000, 4)
    valid_time = datetime(2026, 11, 22, 18, tzinfo=UTC)
    digests = [Planet(seed).state(valid_time).field("z", 500, grid).digest for seed in (1, 1, 2)]
    assert digests[0] == digests[1] != digests[2]


def test_sines_and_logarithms_are_correctly_rounded() -> None:
    assert [sine(turns, 12) for turns in (0, 1, 3, 6, 7, 13)] == [0.0, 0.5, 1.0, 0.0, -0.5, 0.5]
    assert [cosine(turns, 12) for turns in (0, 2, 3, 6)] == [1.0, 0.5, 0.0, -1.0]
    assert cosine(-1, 360) == cosine(1, 360) == 0.9998476951563913
    assert logarithm(20, 1) == 2.995732273553991
