"""The policy `proportional`: everybody above the baseline, by how far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal, localcontext
from typing import Literal

from pydantic import Field

from weather.weights.apportion import BILLION, EXACT, whole_masses
from weather.weights.parameters import Parameters
from weather.weights.window import MILLION, Standing, Window


class Proportional(Parameters):
    """`proportional` 1.

    Attributes:
        mass: `power`, the sum above the baseline to this power, or `softmax` of its mean with this temperature.
    """

    policy: Literal["proportional"] = "proportional"
    version: Literal[1] = 1
    window: int = Field(28, ge=1, le=400)
    mass: Literal["power", "softmax"] = "power"
    power: int = Field(2, ge=1, le=3)
    temperature_ppm: int = Field(100_000, ge=10_000, le=10 * MILLION)

    def excess(self, window: Window, standings: Sequence[Standing]) -> dict[str, int]:
        """D by hotkey: the sum of R − B."""
        floor = sum(round_.totals[window.baseline] for round_ in window.judged)
        return {each.hotkey: sum(window.total(round_, each) for round_ in window.judged) - floor for each in standings}

    def reasons(self, window: Window, standings: Sequence[Standing], hotkey: str) -> list[str]:
        """Its excess over the baseline, and who of its identity class is paid in its place."""
        excess = self.excess(window, standings)
        amount = f"R − B comes to {excess[hotkey] / BILLION:+.9f} over {len(window.judged)} rounds"
        if excess[hotkey] <= 0:
            return ["not above the baseline", amount]
        classes = {each.hotkey: each.identity_class for each in standings}
        paid = [each for each in _best_of_classes(excess, standings) if classes[each] == classes[hotkey] is not None]
        return [amount, *(f"class member of {each}" for each in paid if each != hotkey)]

    def masses(self, window: Window, standings: Sequence[Standing]) -> dict[str, int]:
        """Of the best of each identity class the excess to a power, or its softmax without the baseline's mass."""
        excess = self.excess(window, standings)
        best = _best_of_classes(excess, standings)
        above = {hotkey: max(0, amount) if hotkey in best else 0 for hotkey, amount in excess.items()}
        if self.mass == "power" or not any(above.values()):
            return {hotkey: amount**self.power for hotkey, amount in above.items()}
        with localcontext(EXACT):
            unit = Decimal(len(window.judged) * BILLION) * self.temperature_ppm / MILLION
            most = max(above.values()) / unit
            return whole_masses({hotkey: (d / unit - most).exp() - (-most).exp() for hotkey, d in above.items()})


def _best_of_classes(excess: Mapping[str, int], standings: Sequence[Standing]) -> set[str]:
    """The member with the largest excess of each identity class, the senior one of equals."""
    best: dict[tuple[bool, str], str] = {}
    for each in standings:
        alone = each.identity_class is None
        identity = (alone, each.identity_class or each.hotkey)
        if excess[each.hotkey] > excess[best.setdefault(identity, each.hotkey)]:
            best[identity] = each.hotkey
    return set(best.values())
