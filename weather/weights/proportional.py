"""The policy `proportional`: everybody above the baseline, by how far."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from weather.weights.parameters import Parameters


class Proportional(Parameters):
    """`proportional` 1."""

    policy: Literal["proportional"] = "proportional"
    version: Literal[1] = 1
    window: int = Field(28, ge=1, le=400)
    mass: Literal["power", "softmax"] = "power"
    power: int = Field(2, ge=1, le=3)
    temperature_ppm: int = Field(100_000, ge=10_000, le=10**7)
