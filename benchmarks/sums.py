"""The scoring kernel against plain numpy, naive numpy and two libraries on the same numbers, and against memory."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from itertools import cycle
from typing import Any

import numpy as np
import xarray as xr

from benchmarks.timing import Row, Table, best_seconds
from benchmarks.world import Triple, one_lead_layout, triple
from weather import kernels, metrics
from weather.final_score import case_score
from weather.score_spec import load_rules
from weather.sums import field_sums, plain_sums

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # an escape in a docstring of a dependency
    import scores.continuous
    import xskillscore

RULES = load_rules("5p625").era5_final
FIELDS = 12  # 150 MB, larger than the last cache
Numbers = tuple[float, ...]  # RMSE, MAE, bias, ACC, RMSE of climatology


def tables() -> list[Table]:
    """The kernel on 0p25, and the rate of whole cases on 5p625."""
    large = [triple(one_lead_layout("0p25").grid_value, seed) for seed in range(FIELDS)]
    _require_same(large[0])
    small = [triple(one_lead_layout("5p625").grid_value, seed) for seed in range(FIELDS)]
    return [_kernel_table(large), _cases_table(small)]


def _kernel_table(triples: list[Triple]) -> Table:
    ways: dict[str, tuple[Callable[[Triple], Any], int, str]] = {
        "field_sums, all proofs": (field_sums_of, FIELDS, "≥ 15 times faster"),
        "plain numpy: the definition of the bits": (plain, FIELDS, ""),
        **({"kernel alone (numba)": (kernel, FIELDS, "")} if kernels.compiled() else {}),
        "scores": (by_scores, 2, ""),
        "xskillscore": (by_xskillscore, 1, ""),
    }
    naive_ms = _milliseconds(naive, triples, 2)
    rows = [Row("naive numpy float64", naive_ms, "ms", 1.0)]
    for name, (function, fields, target) in ways.items():
        milliseconds = _milliseconds(function, triples[:fields], 3)
        rows.append(Row(name, milliseconds, "ms", milliseconds / naive_ms, target))
    rows += _memory_rows(triples) if kernels.compiled() else []
    return Table("sums of one 0p25 field", "naive numpy float64", tuple(rows))


def _memory_rows(triples: list[Triple]) -> list[Row]:
    read_ms, kernel_ms = (_milliseconds(function, triples, 5) for function in (reader(), kernel))
    gigabytes = 3 * triples[0].truth.values.nbytes / 1e6 / read_ms
    return [
        Row("read: adds up the three arrays", gigabytes, "GB/s"),
        Row("kernel ÷ read", kernel_ms / read_ms, "times", kernel_ms / read_ms, "≤ 2, at most 4"),
    ]


def _cases_table(triples: list[Triple]) -> Table:
    ways = (("sums and score", whole_case, "≥ 20,000"), ("naive numpy float64", naive, ""))
    rows = [Row(name, 1_000 / _milliseconds(way, triples, 20), "cases/s", target=target) for name, way, target in ways]
    return Table("cases of 5p625 on one core", "naive numpy float64", tuple(rows))


def field_sums_of(one: Triple) -> Any:
    return field_sums(one.forecast, one.truth, one.climatology)


def whole_case(one: Triple) -> Any:
    return case_score(RULES, field_sums_of(one))


def plain(one: Triple) -> Any:
    return plain_sums(one.forecast, one.truth, one.climatology)


def kernel(one: Triple) -> Any:
    fast = kernels.compiled()
    assert fast is not None
    return fast(one.truth.grid.row_weights, one.forecast.values, one.truth.values, one.climatology.values)


def naive(one: Triple) -> Numbers:
    """Each metric by its formula, as one writes it first."""
    f, o, c = (field.values.astype(np.float64) for field in (one.forecast, one.truth, one.climatology))
    w = np.broadcast_to(one.truth.grid.row_weights[:, None], f.shape)

    def mean(values: np.ndarray) -> float:
        return float((values * w).sum() / w.sum())

    p, q = f - c, o - c
    p, q = p - mean(p), q - mean(q)
    correlation = mean(p * q) / (mean(p**2) * mean(q**2)) ** 0.5
    return mean((f - o) ** 2) ** 0.5, mean(np.abs(f - o)), mean(f - o), correlation, mean((o - c) ** 2) ** 0.5


def by_scores(one: Triple) -> Numbers:
    f, o, c, w = _on_xarray(one)
    errors = [
        scores.continuous.rmse(f, o, weights=w),
        scores.continuous.mae(f, o, weights=w),
        scores.continuous.additive_bias(f, o, weights=w),
        xskillscore.pearson_r(f - c, o - c, dim=["latitude", "longitude"], weights=w),  # scores has none with weights
        scores.continuous.rmse(c, o, weights=w),
    ]
    return tuple(error.item() for error in errors)


def by_xskillscore(one: Triple) -> Numbers:
    f, o, c, w = _on_xarray(one)
    how: dict[str, Any] = {"dim": ["latitude", "longitude"], "weights": w}
    errors = [
        xskillscore.rmse(f, o, **how),
        xskillscore.mae(f, o, **how),
        xskillscore.me(f, o, **how),
        xskillscore.pearson_r(f - c, o - c, **how),
        xskillscore.rmse(c, o, **how),
    ]
    return tuple(error.item() for error in errors)


def reader() -> Callable[[Triple], Any]:
    """The best loop that only reads."""
    from numba import njit

    def add_up(a: Any, b: Any, c: Any) -> Any:
        total = np.float32(0)
        for i in range(a.size):
            total += a[i] + b[i] + c[i]
        return total

    compiled = njit(add_up, nogil=True, fastmath=True)
    return lambda one: compiled(one.forecast.values.ravel(), one.truth.values.ravel(), one.climatology.values.ravel())


def _on_xarray(one: Triple) -> Iterator[xr.DataArray]:
    grid = one.truth.grid
    coordinates = {"latitude": grid.latitudes, "longitude": grid.longitudes}
    for field in (one.forecast, one.truth, one.climatology):
        yield xr.DataArray(field.values.astype(np.float64), coords=coordinates, dims=("latitude", "longitude"))
    weights = np.broadcast_to(grid.row_weights[:, None], grid.shape)
    yield xr.DataArray(weights, coords=coordinates, dims=("latitude", "longitude"))


def _require_same(one: Triple) -> None:
    """All four give the same numbers, else their times say nothing."""
    sums = field_sums_of(one)
    ours = (metrics.rmse(sums), metrics.mae(sums), metrics.bias(sums), metrics.acc(sums), (sums.Q2 / sums.W) ** 0.5)
    for theirs in (naive(one), by_scores(one), by_xskillscore(one)):
        np.testing.assert_allclose(ours, theirs, rtol=1e-8)


def _milliseconds(function: Callable[[Triple], Any], triples: list[Triple], repeats: int) -> float:
    turn = cycle(triples)
    seconds = best_seconds(lambda: [function(next(turn)) for _ in triples], repeats)
    return 1_000 * seconds / len(triples)
