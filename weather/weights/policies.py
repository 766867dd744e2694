"""The policies by name and version, and the one function that makes shares of rounds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from weather.faults import ConfigurationInvalid
from weather.weights.apportion import BILLION, BURN, apportion, burned
from weather.weights.pareto import ParetoSubsets
from weather.weights.proportional import Proportional
from weather.weights.window import Standing, Window
from weather.weights.winner import WinnerTakesAll

__all__ = ["BURN", "ParetoSubsets", "Policy", "Proportional", "WinnerTakesAll", "parse_policy", "reasons", "shares"]

Policy = Annotated[ParetoSubsets | WinnerTakesAll | Proportional, Field(discriminator="policy")]
_POLICY: TypeAdapter[Policy] = TypeAdapter(Policy)


def parse_policy(document: str | Mapping[str, Any]) -> Policy:
    """Read a policy from JSON text or its members; ConfigurationInvalid names each parameter that is refused."""
    try:
        if isinstance(document, str):
            return _POLICY.validate_json(document)
        return _POLICY.validate_python(document)
    except ValidationError as error:
        refused = [
            f"{'.'.join(map(str, each['loc']))} {each['input']!r}: {each['msg']}"
            for each in error.errors(include_url=False)
        ]
        raise ConfigurationInvalid(f"weights policy refused: {'; '.join(refused)}") from error


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
