"""What every policy has."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, Field

from weather.weights.apportion import BURN
from weather.weights.window import Standing, Window

FLOOR = Standing(BURN, -1, None)
"""The baseline as a contestant: senior to all, and never joined, so that it is scored as itself."""


class Parameters(BaseModel, ABC):
    """Frozen and closed; whole numbers only, so that their canonical JSON is the same everywhere.

    Attributes:
        min_coverage_ppm: a partially closed round counts from this coverage on.
        burn_rate_ppb: part of each share that is burned.
        burn_hotkey: whom BURN is paid to; without one its part goes to the others.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    min_coverage_ppm: int = Field(700_000, ge=700_000, le=10**6)
    burn_rate_ppb: int = Field(0, ge=0, le=10**9)
    burn_hotkey: str | None = None

    @abstractmethod
    def masses(self, window: Window, standings: Sequence[Standing]) -> dict[str, int]:
        """What shares are proportional to, by hotkey and BURN; standings come by seniority."""

    @abstractmethod
    def reasons(self, window: Window, standings: Sequence[Standing], hotkey: str) -> list[str]:
        """Why a hotkey that has a standing gets what it gets, in words; standings come by seniority."""
