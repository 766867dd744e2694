"""The policies by name and version, and the one function that makes shares of rounds."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from pydantic import Field

from weather.weights.apportion import BILLION, BURN, apportion, burned
from weather.weights.pareto import ParetoSubsets
from weather.weights.proportional import Proportional
from weather.weights.window import Standing, Window
from weather.weights.winner import WinnerTakesAll

__all__ = ["BURN", "ParetoSubsets", "Policy", "Proportional", "WinnerTakesAll", "reasons", "shares"]

Policy = Annotated[ParetoSubsets | WinnerTakesAll | Proportional, Field(discriminator="policy")]


def shares(policy: Policy, window: Window, standings: Iterable[Standing]) -> dict[str, int]:
    """Shares in ppb of the hotkeys that have a standing and of BURN; their sum is 10^9 exactly.

    What is published of them, with BURN paid to somebody, is `apportion.payable(…, policy.burn_hotkey)`. Who is
    the burn hotkey is not paid as a miner.
    """
    masses = {BURN: 0} | policy.masses(window, _miners(policy, standings))
    return burned(apportion(masses), policy.burn_rate_ppb)


def reasons(policy: Policy, window: Window, standings: Iterable[Standing], hotkey: str) -> list[str]:
    """Why a hotkey has the share that it has, in words."""
    miners = _miners(policy, standings)
    entries = {each.hotkey: each.entry for each in miners}
    if hotkey == policy.burn_hotkey:
        return ["is paid what is burned"]
    if hotkey not in entries:
        return ["not registered"]
    if entries[hotkey] is None:
        return ["in no counted round since it is registered, and so as good as the baseline"]
    told = policy.reasons(window, miners, hotkey)
    return [f"{policy.burn_rate_ppb / BILLION:.0%} of each share is burned", *told] if policy.burn_rate_ppb else told


def _miners(policy: Policy, standings: Iterable[Standing]) -> list[Standing]:
    return sorted((each for each in standings if each.hotkey != policy.burn_hotkey), key=lambda each: each.seniority)
