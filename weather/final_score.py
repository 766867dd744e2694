"""Score of a case: skill, correlation and error against climatology in one number from 0 to 1."""

from __future__ import annotations

from fractions import Fraction
from math import fsum

from weather import metrics
from weather.score_spec import FinalRules
from weather.sums import FieldSums

NANO = 10**9


def case_score(rules: FinalRules, sums: FieldSums) -> float:
    """Sum of three shares: 1 for the truth, 0.2 for climatology; SourceCorrupt if these are equal."""
    correlation = metrics.acc(sums) if rules.acc == "centred" else metrics.acc_uncentred(sums)
    return fsum(
        [
            float(rules.skill_weight) * min(1.0, max(0.0, metrics.skill(sums))),
            float(rules.acc_weight) * ((correlation + 1.0) / 2.0),
            float(rules.rmse_weight) * (1.0 / (1.0 + metrics.relative_rmse(sums))),
        ]
    )


def nano(score: float) -> int:
    """Score in units of 10^-9: the exact binary value, rounded half to even."""
    return round(Fraction(score) * NANO)
