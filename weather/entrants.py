"""Our own forecasts among the miners, and the canaries that prove the scorer before anybody is scored."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from weather import metrics
from weather.faults import InternalError
from weather.fields import Field
from weather.final_score import case_score
from weather.score_spec import FinalRules
from weather.sums import FieldSums, field_sums
from weather.variables import bounds

STANDARD_GRAVITY = 9.80665
ZERO_CELSIUS = 273.15

Sums = Callable[[Field, Field, Field], FieldSums]


class Canary(NamedTuple):
    """What a forecast of known worth must score, and what it scored; off by at most the tolerance."""

    name: str
    found: float
    expected: float
    tolerance: float


def climatology_worth(rules: FinalRules) -> float:
    """The score of climatology in each case of the final pass: neither skill nor correlation, whatever the truth."""
    return (float(rules.acc_weight) + float(rules.rmse_weight)) / 2.0


def prove_scorer(
    rules: FinalRules, truth: Field, climatology: Field, valid_time: datetime, sums: Sums = field_sums
) -> None:
    """Score forecasts of known worth against a truth that is about to judge others.

    The valid time is that of the case, whatever the fields say; `sums` is the arithmetic under proof.

    Raises:
        InternalError: a canary missed, so axes, units, times or signs are not what they seem.
        SourceCorrupt: truth equals climatology.
    """
    try:
        for canary in _canaries(rules, truth, climatology, valid_time, sums):
            if not abs(canary.found - canary.expected) <= canary.tolerance:
                what = f"canary of {truth.short_name}: {canary.name}"
                raise InternalError(what, found=canary.found, expected=canary.expected)
    except ValueError as error:
        raise InternalError(f"canary of {truth.short_name}: {error}") from error


def _canaries(
    rules: FinalRules, truth: Field, climatology: Field, valid_time: datetime, sums: Sums
) -> Iterator[Canary]:
    def scored(values: npt.ArrayLike) -> FieldSums:
        forecast = Field.of(truth.grid, truth.variable, truth.level, valid_time, values)
        return sums(forecast, truth, climatology)

    o, c = truth.values, climatology.values
    same, normal, mirrored = scored(o), scored(c), scored(2.0 * c.astype(np.float64) - o)
    yield Canary("RMSE of the truth", metrics.rmse(same), 0.0, 0.0)
    yield Canary("ACC of the truth", metrics.acc(same), 1.0, 1e-15)
    yield Canary("score of the truth", case_score(rules, same), 1.0, 1e-15)
    yield Canary("score of climatology", case_score(rules, normal), climatology_worth(rules), 1e-15)
    yield Canary("ACC of the mirrored anomaly", metrics.acc(mirrored), -1.0, 1e-4)
    yield Canary("skill of the mirrored anomaly", metrics.skill(mirrored), -3.0, 1e-4)
    moved = {
        "flipped": o[::-1],
        "rolled by 180°": np.roll(o, o.shape[1] // 2, axis=1),
        "shifted": np.roll(o, 1, axis=0),
    }
    for name, values in moved.items():
        yield Canary(f"truth {name} differs from itself", float(metrics.rmse(scored(values)) > 0.0), 1.0, 0.0)
    for name, inside, expected in _units(truth, climatology):
        yield Canary(f"{name} inside the bounds", float(inside), float(expected), 0.0)


def _units(truth: Field, climatology: Field) -> Iterator[tuple[str, bool, bool]]:
    """Height for geopotential is told from it only where no geopotential is near zero: at 850 hPa and above."""
    least, greatest = bounds(truth.variable, truth.level)

    def inside(values: npt.NDArray[np.floating]) -> bool:
        return bool(least <= values.min() and values.max() <= greatest)

    yield "truth", inside(truth.values), True
    yield "climatology", inside(climatology.values), True
    if truth.variable in ("t", "2t"):
        yield "temperature in °C", inside(truth.values - np.float32(ZERO_CELSIUS)), False
    if truth.variable == "z" and least > 0:
        yield "height for geopotential", inside(truth.values / np.float32(STANDARD_GRAVITY)), False
