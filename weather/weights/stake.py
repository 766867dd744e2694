"""What weights come to if a run that is still open closes as the next round."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from weather.faults import NothingToPublish
from weather.round_score import Closing
from weather.weights.apportion import payable
from weather.weights.policies import Policy, shares
from weather.weights.window import RoundState, Standing, Window, counted_window


class Stake(NamedTuple):
    """The newest weights that were computed, with all that they came from.

    Attributes:
        epochs: that begin while a round is in the window, if every round counts.
    """

    policy: Policy
    window: Window
    standings: Sequence[Standing]
    epochs: int

    def moved(self, before: Closing, after: Closing) -> tuple[int, int]:
        """How far the shares lie apart after two ways to close, in ppb, and in how many epochs: (0, 0) if nowhere."""
        old, new = self._window(before), self._window(after)
        if old == new:
            return 0, 0
        one, other = self._paid(old), self._paid(new)
        return sum(abs(one.get(name, 0) - other.get(name, 0)) for name in one.keys() | other.keys()), self.epochs

    def _window(self, closing: Closing) -> Window:
        rounds, policy = self.window.rounds, self.policy
        scores: defaultdict[str, dict[str, int]] = defaultdict(dict)
        for (hotkey, group), nano in closing.group_scores.items():
            scores[hotkey][group] = nano
        groups = {**rounds[-1].group_weights, **{group: 1 for _, group in closing.group_scores}}
        serial, totals = rounds[-1].serial + 1, closing.round_scores
        state = RoundState(serial, "", closing.outcome, closing.coverage, 0, groups, dict(scores), totals)
        return Window(
            counted_window((*rounds, state), serial, policy.window, policy.min_coverage_ppm), self.window.baseline
        )

    def _paid(self, window: Window) -> dict[str, int]:
        try:
            return payable(shares(self.policy, window, self.standings), self.policy.burn_hotkey)
        except NothingToPublish:
            return {}
