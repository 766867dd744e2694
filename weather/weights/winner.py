"""The policy `winner_takes_all`: a moving average of who won each round."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from typing import Literal

from pydantic import Field

from weather.weights.apportion import whole_masses
from weather.weights.parameters import FLOOR, Parameters
from weather.weights.window import MILLION, RoundState, Standing, Window


class WinnerTakesAll(Parameters):
    """`winner_takes_all` 1.

    Attributes:
        window: rounds after which nothing is left of a victory, and so no state is stored.
        alpha_ppm: weight of the newest round.
    """

    policy: Literal["winner_takes_all"] = "winner_takes_all"
    version: Literal[1] = 1
    window: Literal[256] = 256
    alpha_ppm: int = Field(100_000, ge=1, le=MILLION)

    def average(self, window: Window, standings: Sequence[Standing]) -> dict[str, float]:
        """The moving average S by hotkey, folded from zero; standings come by seniority."""
        alpha = self.alpha_ppm / MILLION
        average = {standing.hotkey: 0.0 for standing in standings}
        for round_ in window.judged:
            winner = _winner(window, round_, standings)
            average = {hotkey: (1 - alpha) * s + alpha * (hotkey == winner) for hotkey, s in average.items()}
        return average

    def reasons(self, window: Window, standings: Sequence[Standing], hotkey: str) -> list[str]:
        """Who won how many of the rounds, the hotkey first; the baseline those in which nobody was above it."""
        won = Counter(_winner(window, round_, standings) for round_ in window.judged)
        rounds = sorted(({hotkey: 0} | won).items(), key=lambda one: (one[0] != hotkey, -one[1], one[0]))
        return [f"{'the baseline' if name == FLOOR.hotkey else name} won {n} of {won.total()}" for name, n in rounds]

    def masses(self, window: Window, standings: Sequence[Standing]) -> dict[str, int]:
        """The moving average."""
        return whole_masses({hotkey: Decimal(s) for hotkey, s in self.average(window, standings).items()})


def _winner(window: Window, round_: RoundState, standings: Sequence[Standing]) -> str:
    """The most senior of the best; the baseline unless somebody is above it."""
    return max((FLOOR, *standings), key=lambda standing: window.total(round_, standing)).hotkey
