"""The policy `pareto_subsets`: for each set of groups the senior one whom nobody beats by more than noise."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from weather.weights.parameters import Parameters


class ParetoSubsets(Parameters):
    """`pareto_subsets` 1."""

    policy: Literal["pareto_subsets"] = "pareto_subsets"
    version: Literal[1] = 1
    window: int = Field(28, ge=1, le=400)
    q_ppm: int = Field(300_000, ge=0, le=10**6)
    gamma_min_ppm: int = Field(20_000, ge=0, le=900_000)
    gamma_max_ppm: int = Field(500_000, ge=0, le=900_000)
    points: Literal["linear", "exponential", "equal"] = "linear"
    temperature_ppm: int = Field(10**6, ge=1, le=10**6)
