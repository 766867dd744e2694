"""Whole shares out of masses: largest remainder, burn, and what a chain takes."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from weather.faults import NothingToPublish

BURN = "burn"
BILLION = 10**9
LARGEST_U16 = 65_535


def apportion(masses: Mapping[str, int], total: int = BILLION) -> dict[str, int]:
    """Divide the total in proportion to the masses by largest remainder, ties by hotkey, BURN last.

    Returns:
        A share for each mass; without any mass BURN gets the total.
    """
    raise NotImplementedError


def payable(shares: Mapping[str, int], burn_hotkey: str | None) -> dict[str, int]:
    """What is published: ppb > 0 by hotkey in the order of hotkeys, with BURN paid to its hotkey or to all others.

    Raises:
        NothingToPublish: everything is burned and there is no burn hotkey.
    """
    raise NothingToPublish


def registered(paid: Mapping[str, int], hotkeys: Collection[str]) -> dict[str, int]:
    """The shares of those who are still there, scaled up to the whole.

    Raises:
        NothingToPublish: nobody is.
    """
    raise NotImplementedError


def capped(paid: Mapping[str, int], max_share: int) -> dict[str, int]:
    """Water-filling: no share above max_share (ppb); what is cut off goes to the others in proportion.

    Raises:
        NothingToPublish: too few hotkeys to hold the whole under this cap.
    """
    raise NotImplementedError


def as_u16(paid: Mapping[str, int]) -> dict[str, int]:
    """Shares as a chain holds them, relative to the largest; zeros dropped."""
    raise NotImplementedError
