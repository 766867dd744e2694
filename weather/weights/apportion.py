"""Whole shares out of masses: largest remainder, burn, and what a chain takes."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from decimal import Context, Decimal, localcontext

from weather.faults import NothingToPublish

BURN = "burn"
BILLION = 10**9
FINEST = 10**15
LARGEST_U16 = 65_535
EXACT = Context(prec=50)


def whole_masses(masses: Mapping[str, Decimal]) -> dict[str, int]:
    """Masses as integers of which the largest is 10^15, so that the last bits of a float have no effect."""
    largest = max(masses.values(), default=Decimal(0))
    if not largest:
        return dict.fromkeys(masses, 0)
    with localcontext(EXACT):
        return {name: round(mass / largest * FINEST) for name, mass in masses.items()}


def apportion(masses: Mapping[str, int], total: int = BILLION) -> dict[str, int]:
    """Divide the total in proportion by largest remainder, ties by hotkey, BURN last; without any mass it gets all."""
    whole = sum(masses.values())
    if not whole:
        return dict.fromkeys(masses, 0) | {BURN: total}
    shares = {name: mass * total // whole for name, mass in masses.items()}
    order = sorted(masses, key=lambda name: (-(masses[name] * total % whole), name == BURN, name))
    for name in order[: total - sum(shares.values())]:
        shares[name] += 1
    return shares


def burned(shares: Mapping[str, int], rate_ppb: int) -> dict[str, int]:
    """Cut the rate off each share, rounded down, and give BURN all that is left of the whole."""
    kept = {name: share * (BILLION - rate_ppb) // BILLION for name, share in shares.items() if name != BURN}
    return kept | {BURN: BILLION - sum(kept.values())}


def payable(shares: Mapping[str, int], burn_hotkey: str | None) -> dict[str, int]:
    """What is published: ppb > 0 by hotkey, BURN paid to its hotkey, else to all; NothingToPublish without anybody."""
    paid = {burn_hotkey if name == BURN else name: share for name, share in shares.items()}
    return _scaled({name: share for name, share in paid.items() if name is not None})


def registered(paid: Mapping[str, int], hotkeys: Collection[str]) -> dict[str, int]:
    """The shares of those who are still there, scaled up to the whole; NothingToPublish if nobody is."""
    return _scaled({hotkey: share for hotkey, share in paid.items() if hotkey in hotkeys})


def capped(paid: Mapping[str, int], max_share: int) -> dict[str, int]:
    """Water-filling: what is above max_share (ppb) goes to the others in proportion; NothingToPublish if too few."""
    rest = {hotkey: share for hotkey, share in paid.items() if share}
    if len(rest) * max_share < BILLION:
        raise NothingToPublish("hotkeys under max_share", found=len(rest), expected=f"≥ 10^9 / {max_share}")
    full: dict[str, int] = {}
    shares = apportion(rest)
    while over := [hotkey for hotkey, share in shares.items() if share > max_share]:
        full |= dict.fromkeys(over, max_share)
        rest = {hotkey: share for hotkey, share in rest.items() if hotkey not in full}
        shares = apportion(rest, BILLION - max_share * len(full))
    return dict(sorted((full | shares).items()))


def as_u16(paid: Mapping[str, int]) -> dict[str, int]:
    """Shares as a chain holds them, relative to the largest; zeros dropped."""
    largest = max(paid.values())
    rounded = {hotkey: (2 * share * LARGEST_U16 + largest) // (2 * largest) for hotkey, share in paid.items()}
    return {hotkey: share for hotkey, share in rounded.items() if share}


def _scaled(masses: Mapping[str, int]) -> dict[str, int]:
    if not any(masses.values()):
        raise NothingToPublish("no hotkey is left that has a share")
    return {hotkey: share for hotkey, share in sorted(apportion(masses).items()) if share}
