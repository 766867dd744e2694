"""Sines and logarithms rounded from 50 digits: the same bits on every machine."""

from __future__ import annotations

from decimal import Context, Decimal, localcontext
from functools import cache, lru_cache

import numpy as np
import numpy.typing as npt

from weather.grids import decimal_sine

Vector = npt.NDArray[np.float64]

PHASES = 4096
_DIGITS = Context(prec=60)
_TWO_PI = Decimal("6.28318530717958647692528676655900576839433879875021164194988918461563281257")


@lru_cache(maxsize=65_536)
def sine(turns: int, divisor: int) -> float:
    """Correctly rounded sin(2π·turns/divisor)."""
    turns %= divisor
    if 2 * turns > divisor:
        return -sine(divisor - turns, divisor)
    if 4 * turns > divisor:
        turns, divisor = divisor - 2 * turns, 2 * divisor
    with localcontext(_DIGITS):
        return float(decimal_sine(_TWO_PI * turns / divisor))


def cosine(turns: int, divisor: int) -> float:
    """Correctly rounded cos(2π·turns/divisor)."""
    return sine(4 * turns + divisor, 4 * divisor)


def logarithm(numerator: int, denominator: int) -> float:
    """Correctly rounded natural logarithm of a positive fraction."""
    with localcontext(_DIGITS):
        return float((Decimal(numerator) / denominator).ln())


@cache
def sine_table() -> Vector:
    """Sines of `PHASES` equal steps of one turn; read-only."""
    table = np.array([sine(step, PHASES) for step in range(PHASES)])
    table.setflags(write=False)
    return table
