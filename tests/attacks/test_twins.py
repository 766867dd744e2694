"""Honest miners of many kinds are never accused; ten runs of 64, for `make chaos`."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.attacks.honest import Miner
from tests.attacks.world import World, play
from weather.planet.planet import Planet

MINERS = 64
RUNS = 10

pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.skipif("BAROGRAPH_LONG" not in os.environ, reason="takes ten minutes: `make chaos`"),
]


class Skilful(Miner):
    """Its own skill, from 0.6 to 1.6, by its number."""

    @property
    def skill(self) -> float:
        return 0.6 + int(self.name.split("-")[1]) / MINERS

    def values(self, variable: str, level: int, lead: int) -> Any:
        weather = Planet(1).miner_forecast(self.name, self.skill, self.world.init_time, lead)
        return weather.field(variable, level, self.layout.grid_value).values


class Cautious(Skilful):
    """Keeps nine tenths of its anomaly."""

    def values(self, variable: str, level: int, lead: int) -> Any:
        own = super().values(variable, level, lead)
        valid_time = self.world.valid_time(lead)
        normal = Planet(1).climatology(valid_time).field(variable, level, self.layout.grid_value).values
        return np.float32(0.9) * own + np.float32(0.1) * normal


class Smooth(Skilful):
    """Averages neighbours along each row."""

    def values(self, variable: str, level: int, lead: int) -> Any:
        own = super().values(variable, level, lead)
        return (np.roll(own, 1, axis=1) + 2 * own + np.roll(own, -1, axis=1)) / np.float32(4)


class Consensus(Skilful):
    """Averages two forecasts of its own."""

    def values(self, variable: str, level: int, lead: int) -> Any:
        other = Planet(1).miner_forecast(f"{self.name}-b", self.skill, self.world.init_time, lead)
        second = other.field(variable, level, self.layout.grid_value).values
        return (super().values(variable, level, lead) + second) / np.float32(2)


@pytest.mark.parametrize("run", range(RUNS))
def test_no_honest_miner_is_accused(tmp_path: Path, run: int) -> None:
    world = World(tmp_path, days_later=run)
    kinds = (Skilful, Cautious, Smooth, Consensus)
    miners = [kinds[number % len(kinds)](world, f"honest-{number}") for number in range(MINERS)]
    outcome = asyncio.run(play(world, miners))
    assert outcome.outcome == "closed"
    assert outcome.faults == {}
    assert len([row for row in outcome.rows.values() if not row.hotkey.startswith("baseline/")]) == MINERS
    assert all(row.score_nano > 0 for row in outcome.rows.values())
