"""Weighted sums over the cells of a field: all that scoring keeps of it.

Sums merge exactly; roots and ratios are taken once, at the end, in `weather.metrics`.
The plain numpy here is the definition of the bits: no libm, no BLAS, no pairwise summation. Where `weather.kernels`
are compiled, they give the same bits in a fraction of the time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass
from fractions import Fraction
from math import isfinite
from typing import Self

import numpy as np
import numpy.typing as npt

from weather import kernels
from weather.faults import IncompleteForecast, SourceCorrupt
from weather.fields import Field

Cells = npt.NDArray[np.float64]


@dataclass(frozen=True)
class _Sums:
    def as_dict(self) -> dict[str, float]:
        """The sums that exist, by name."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    @classmethod
    def from_dict(cls, sums: Mapping[str, float]) -> Self:
        """These sums out of those of a fact, which may hold others too."""
        return cls(**{name: sums[name] for name in cls.__dataclass_fields__ if name in sums})


@dataclass(frozen=True)
class FieldSums(_Sums):
    """The nine sums of a fact, with d = f − o, p = f − c, q = o − c.

    Attributes:
        W: of the weights.
        D: of d; A of |d|; D2 of d·d.
        P: of p; Q of q; P2 of p·p; Q2 of q·q; PQ of p·q.
    """

    W: float
    D: float
    A: float
    D2: float
    P: float
    Q: float
    P2: float
    Q2: float
    PQ: float


@dataclass(frozen=True)
class ReferenceSums(_Sums):
    """The sums of day 1, with e = r_1 − o, s = r_1 − c, p = f − c, g_k = f − r_k.

    Attributes:
        E2: of e·e; S of s; S2 of s·s; PS of p·s.
        G_11: of g_1·g_1; G_12 and G_22 are None if there is one public forecast.
    """

    E2: float
    S: float
    S2: float
    PS: float
    G_11: float
    G_12: float | None = None
    G_22: float | None = None


def field_sums(forecast: Field, truth: Field, climatology: Field) -> FieldSums:
    """The nine sums over all cells of the grid, in the order `four-rows/1`.

    Raises:
        ValueError: grid, variable, level, valid time or unit differ; nothing was computed.
        IncompleteForecast: cells of the forecast are not finite.
        SourceCorrupt: cells of truth or climatology are not finite.
    """
    require_same(forecast, truth, climatology)
    whole = FieldSums(forecast.grid.total_weight, *_eight_sums(forecast, truth, climatology))
    _prove(whole, forecast, {"truth": truth, "climatology": climatology})
    return whole


def merge(leaves: Iterable[FieldSums]) -> FieldSums:
    """Sums over several fields: exact, then rounded once, so that no order or grouping changes a bit.

    Raises:
        ValueError: there is nothing to merge.
    """
    columns = [*zip(*map(astuple, leaves), strict=True)]
    if not columns:
        raise ValueError("there are no sums to merge")
    return FieldSums(*(float(sum(map(Fraction, column))) for column in columns))


def reference_sums(forecast: Field, truth: Field, climatology: Field, references: Sequence[Field]) -> ReferenceSums:
    """The sums against one or two public forecasts, in the order `four-rows/1`.

    Raises:
        ValueError: as `field_sums`; or there are not one or two references.
        IncompleteForecast: cells of the forecast are not finite.
        SourceCorrupt: cells of another input are not finite.
    """
    require_same(forecast, truth, climatology, *references)
    if len(references) not in (1, 2):
        raise ValueError(f"{len(references)} public forecasts are not one or two")
    sums = ReferenceSums(*_reference_sums(forecast, truth, climatology, *references))
    public = {f"public forecast {k}": field for k, field in enumerate(references, 1)}
    _prove(sums, forecast, {"truth": truth, "climatology": climatology, **public})
    return sums


def plain_sums(forecast: Field, truth: Field, climatology: Field) -> list[float]:
    """D to PQ over all cells: the definition of the bits."""
    f, o, c = (field.values.astype(np.float64) for field in (forecast, truth, climatology))
    with np.errstate(invalid="ignore"):
        d, p, q = f - o, f - c, o - c
        terms = [d, np.abs(d), d * d, p, q, p * p, q * q, p * q]
    return [whole_grid_sum(forecast.grid.row_weights, term) for term in terms]


def whole_grid_sum(row_weights: Cells, values: Cells) -> float:
    """Weighted sum in the order `four-rows/1`: per column over blocks of four rows, then west to east."""
    with np.errstate(invalid="ignore"):
        products = row_weights[:, None] * values
        whole = len(products) // 4 * 4
        first, second, third, fourth = (products[row:whole:4] for row in range(4))
        rows = np.concatenate([np.zeros_like(products[:1]), ((first + second) + third) + fourth, products[whole:]])
        columns = np.add.accumulate(rows, axis=0)[-1]
        return float(np.add.accumulate(np.concatenate([[0.0], columns]))[-1])


def require_same(first: Field, *others: Field) -> None:
    """Refuse as ValueError fields that are not of one grid, variable, level, valid time and unit."""
    identity = (first.grid, first.variable, first.level, first.valid_time, first.unit)
    for other in others:
        if (other.grid, other.variable, other.level, other.valid_time, other.unit) != identity:
            raise ValueError(f"{other} cannot be compared with {first}")


def _eight_sums(forecast: Field, truth: Field, climatology: Field) -> list[float]:
    """D to PQ over all cells, by the kernel if there is one."""
    fast = kernels.compiled()
    if fast is None:
        return plain_sums(forecast, truth, climatology)
    return fast(forecast.grid.row_weights, forecast.values, truth.values, climatology.values).tolist()


def _reference_sums(forecast: Field, truth: Field, climatology: Field, first: Field, *second: Field) -> list[float]:
    """The eight sums with other fields in the three places; the signs that it turns cancel in the products."""
    _, _, error, *_ = _eight_sums(first, truth, climatology)
    _, _, distance, _, s, _, s2, ps = _eight_sums(forecast, first, climatology)
    if not second:
        return [error, s, s2, ps, distance]
    *_, other, mixed = _eight_sums(first, second[0], forecast)
    return [error, s, s2, ps, distance, mixed, other]


def _prove(sums: FieldSums | ReferenceSums, forecast: Field, sources: Mapping[str, Field]) -> None:
    if all(map(isfinite, sums.as_dict().values())):
        return
    for name, field in sources.items():
        if bad := _not_finite(field):
            raise SourceCorrupt(f"{name} {field} has cells that are not finite", found=bad, expected=0)
    raise IncompleteForecast(f"{forecast} has cells that are not finite", found=_not_finite(forecast), expected=0)


def _not_finite(field: Field) -> int:
    return int(np.count_nonzero(~np.isfinite(field.values)))
