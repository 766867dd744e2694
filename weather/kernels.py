"""The sums of `weather.sums` in one compiled pass, with the same bits; there only with the extra `fast` (numba)."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

TILE = 1440  # columns at a time; a constant, so that the compiler knows the parts of a buffer apart

Weights = npt.NDArray[np.float64]
Values = npt.NDArray[np.float32]
Kernel = Callable[[Weights, Values, Values, Values], npt.NDArray[np.float64]]


@cache
def compiled() -> Kernel | None:
    """D, A, D2, P, Q, P2, Q2, PQ of (weights, forecast, truth, climatology), in the order `four-rows/1`.

    It is compiled when first called and then kept on disk; None without numba.
    """
    try:
        from numba import njit  # heavy: only who scores pays for it
    except ModuleNotFoundError:
        return None
    try:
        return njit(_whole_grid, nogil=True, error_model="numpy", cache=True)  # no fastmath: it would change the bits
    except RuntimeError:  # no folder to keep it in
        return njit(_whole_grid, nogil=True, error_model="numpy")


# long: one loop nest, compiled as a whole
def _whole_grid(weights: Any, f: Any, o: Any, c: Any) -> Any:
    rows, columns = f.shape
    blocks = rows // 4 * 4
    sums, total, part = np.zeros(8), np.empty(8 * TILE), np.empty(12 * TILE)
    for left in range(0, columns, TILE):
        n = min(TILE, columns - left)
        total[:] = 0.0
        for j in range(0, blocks, 4):
            for r in range(4):
                fs, os, cs = f[j + r, left : left + n], o[j + r, left : left + n], c[j + r, left : left + n]
                ds, ps, qs = part[r * TILE :][:n], part[(4 + r) * TILE :][:n], part[(8 + r) * TILE :][:n]
                for i in range(n):
                    x, y, z = np.float64(fs[i]), np.float64(os[i]), np.float64(cs[i])
                    ds[i] = x - y
                    ps[i] = x - z
                    qs[i] = y - z
            a, b, g, h = weights[j], weights[j + 1], weights[j + 2], weights[j + 3]
            for i in range(n):
                d0, d1, d2, d3 = part[i], part[TILE + i], part[2 * TILE + i], part[3 * TILE + i]
                p0, p1, p2, p3 = part[4 * TILE + i], part[5 * TILE + i], part[6 * TILE + i], part[7 * TILE + i]
                q0, q1, q2, q3 = part[8 * TILE + i], part[9 * TILE + i], part[10 * TILE + i], part[11 * TILE + i]
                total[i] += ((a * d0 + b * d1) + g * d2) + h * d3
                total[TILE + i] += ((a * abs(d0) + b * abs(d1)) + g * abs(d2)) + h * abs(d3)
                total[2 * TILE + i] += ((a * (d0 * d0) + b * (d1 * d1)) + g * (d2 * d2)) + h * (d3 * d3)
                total[3 * TILE + i] += ((a * p0 + b * p1) + g * p2) + h * p3
                total[4 * TILE + i] += ((a * q0 + b * q1) + g * q2) + h * q3
                total[5 * TILE + i] += ((a * (p0 * p0) + b * (p1 * p1)) + g * (p2 * p2)) + h * (p3 * p3)
                total[6 * TILE + i] += ((a * (q0 * q0) + b * (q1 * q1)) + g * (q2 * q2)) + h * (q3 * q3)
                total[7 * TILE + i] += ((a * (p0 * q0) + b * (p1 * q1)) + g * (p2 * q2)) + h * (p3 * q3)
        for j in range(blocks, rows):
            w = weights[j]
            fs, os, cs = f[j, left : left + n], o[j, left : left + n], c[j, left : left + n]
            for i in range(n):
                x, y, z = np.float64(fs[i]), np.float64(os[i]), np.float64(cs[i])
                d0, p0, q0 = x - y, x - z, y - z
                total[i] += w * d0
                total[TILE + i] += w * abs(d0)
                total[2 * TILE + i] += w * (d0 * d0)
                total[3 * TILE + i] += w * p0
                total[4 * TILE + i] += w * q0
                total[5 * TILE + i] += w * (p0 * p0)
                total[6 * TILE + i] += w * (q0 * q0)
                total[7 * TILE + i] += w * (p0 * q0)
        for k in range(8):
            for i in range(n):
                sums[k] += total[k * TILE + i]
    return sums
