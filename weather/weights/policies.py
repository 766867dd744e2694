"""The policies by name and version, and the one function that makes shares of rounds."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import Field

from weather.weights.apportion import BURN
from weather.weights.pareto import ParetoSubsets
from weather.weights.proportional import Proportional
from weather.weights.window import Standing, Window
from weather.weights.winner import WinnerTakesAll

__all__ = ["BURN", "ParetoSubsets", "Policy", "Proportional", "WinnerTakesAll", "parse_policy", "shares"]

Policy = Annotated[ParetoSubsets | WinnerTakesAll | Proportional, Field(discriminator="policy")]


def parse_policy(document: str | dict[str, Any]) -> ParetoSubsets | WinnerTakesAll | Proportional:
    """Read a policy with its parameters, as JSON text or as its members.

    Raises:
        ConfigurationInvalid: names each parameter that is refused, its value and its bound.
    """
    raise NotImplementedError


def shares(
    policy: ParetoSubsets | WinnerTakesAll | Proportional, window: Window, standings: Iterable[Standing]
) -> dict[str, int]:
    """Shares in ppb of the hotkeys that have a standing and of BURN; their sum is 10^9 exactly.

    What is published of them, with BURN paid to somebody, is `apportion.payable(…, policy.burn_hotkey)`.
    """
    raise NotImplementedError
