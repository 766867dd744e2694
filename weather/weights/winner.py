"""The policy `winner_takes_all`: a moving average of who won each round."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from weather.weights.parameters import Parameters


class WinnerTakesAll(Parameters):
    """`winner_takes_all` 1."""

    policy: Literal["winner_takes_all"] = "winner_takes_all"
    version: Literal[1] = 1
    window: Literal[256] = 256
    alpha_ppm: int = Field(100_000, ge=1, le=10**6)
