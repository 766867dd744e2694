"""Metrics of verification, each a function of sums; roots and ratios are taken here and nowhere before.

Notation: p̄ = P/W, q̄ = Q/W, V_p = P2/W − p̄², V_q = Q2/W − q̄², C = PQ/W − p̄·q̄, with p = forecast − climatology and
q = truth − climatology. A variance of at most 2^-40 of its mean square is rounding, and is taken as 0.
"""

from __future__ import annotations

from math import sqrt

from weather.faults import InternalError, SourceCorrupt
from weather.sums import FieldSums, ReferenceSums

VARIANCE_FLOOR = 2.0**-40
IDENTITY_TOLERANCE = 1e-9


def bias(sums: FieldSums) -> float:
    """Mean of forecast − truth, in the unit of the field."""
    return sums.D / sums.W


def mae(sums: FieldSums) -> float:
    """Mean absolute error, in the unit of the field."""
    return sums.A / sums.W


def mse(sums: FieldSums) -> float:
    """Mean squared error, in the unit of the field squared."""
    return sums.D2 / sums.W


def rmse(sums: FieldSums) -> float:
    """Root of the mean squared error, in the unit of the field."""
    return sqrt(mse(sums))


def acc(sums: FieldSums) -> float:
    """Anomaly correlation, centred; −1…1, and 0 if forecast or truth has no variance.

    Source: WMO-No. 485, Manual on the WMO Integrated Processing and Prediction System.
    """
    return _correlation(sums.W, (sums.P, sums.P2), (sums.Q, sums.Q2), sums.PQ)


def acc_uncentred(sums: FieldSums) -> float:
    """Anomaly correlation without removal of the mean anomalies; −1…1, 0 if one of them vanishes.

    Source: Rasp and others (2024), WeatherBench 2, doi 10.1029/2023MS004019.
    """
    if sums.P2 == 0 or sums.Q2 == 0:
        return 0.0
    return _clamp(sums.PQ / sqrt(sums.P2 * sums.Q2), -1.0, 1.0)


def skill(sums: FieldSums) -> float:
    """Skill against climatology, 1 − D2/Q2: at most 1; SourceCorrupt if truth equals climatology."""
    return 1.0 - sums.D2 / _climatological_error(sums)


def skill_against_reference(sums: FieldSums, references: ReferenceSums) -> float:
    """Skill against the first public forecast, 1 − D2/E2; SourceCorrupt if that equals the truth."""
    if references.E2 == 0:
        raise SourceCorrupt("public forecast equals the truth", found="E2 = 0", expected="E2 > 0")
    return 1.0 - sums.D2 / references.E2


def relative_rmse(sums: FieldSums) -> float:
    """RMSE as a share of that of climatology, sqrt(D2/Q2); SourceCorrupt if truth equals climatology."""
    return sqrt(sums.D2 / _climatological_error(sums))


def activity(sums: FieldSums) -> float | None:
    """Activity ratio sqrt(V_p/V_q): 1 is as lively as the truth; None if the truth has no variance."""
    truth = _variance(sums.W, sums.Q, sums.Q2)
    return sqrt(_variance(sums.W, sums.P, sums.P2) / truth) if truth else None


def derived(sums: FieldSums) -> dict[str, float | None]:
    """What people read of sums: bias, MAE and RMSE in the unit of the field, and three ratios."""
    return {each.__name__: each(sums) for each in (bias, mae, rmse, acc, skill, activity)}


def pattern_correlation(sums: FieldSums, references: ReferenceSums) -> float:
    """Centred correlation of the anomalies of the forecast and of the first public forecast."""
    return _correlation(sums.W, (sums.P, sums.P2), (references.S, references.S2), references.PS)


def public_distance(sums: FieldSums, references: ReferenceSums) -> float:
    """Least mean squared distance κ to a mixture of the public forecasts, in the unit of the field squared."""
    if references.G_12 is None or references.G_22 is None:
        return references.G_11 / sums.W
    share = mixture_share(references)
    other = 1.0 - share
    squared = share * share * references.G_11 + 2.0 * share * other * references.G_12 + other * other * references.G_22
    return squared / sums.W


def mixture_share(references: ReferenceSums) -> float:
    """Share α of the first public forecast in the nearest mixture; 1 if there is no second."""
    if references.G_12 is None or references.G_22 is None:
        return 1.0
    apart = references.G_11 + references.G_22 - 2.0 * references.G_12
    return _clamp((references.G_22 - references.G_12) / apart, 0.0, 1.0) if apart > 0 else 1.0


def check_identity(sums: FieldSums) -> None:
    """Prove D2/W = (p̄ − q̄)² + V_p + V_q − 2C within 10^-9 of (P2 + Q2)/W; InternalError if the sums miss it."""
    forecast, truth = sums.P / sums.W, sums.Q / sums.W
    variances = _variance(sums.W, sums.P, sums.P2) + _variance(sums.W, sums.Q, sums.Q2)
    covariance = sums.PQ / sums.W - forecast * truth
    expected = (forecast - truth) * (forecast - truth) + variances - 2.0 * covariance
    if abs(mse(sums) - expected) > IDENTITY_TOLERANCE * ((sums.P2 + sums.Q2) / sums.W):
        raise InternalError("sums of one fact contradict each other", found=mse(sums), expected=expected)


def _climatological_error(sums: FieldSums) -> float:
    if sums.Q2 == 0:
        raise SourceCorrupt("truth equals climatology", found="Q2 = 0", expected="Q2 > 0")
    return sums.Q2


def _variance(weight: float, total: float, squares: float) -> float:
    mean = total / weight
    variance = squares / weight - mean * mean
    return variance if variance > VARIANCE_FLOOR * (squares / weight) else 0.0


def _correlation(weight: float, x: tuple[float, float], y: tuple[float, float], products: float) -> float:
    variances = _variance(weight, *x) * _variance(weight, *y)
    if variances == 0:
        return 0.0
    covariance = products / weight - (x[0] / weight) * (y[0] / weight)
    return _clamp(covariance / sqrt(variances), -1.0, 1.0)


def _clamp(value: float, lowest: float, highest: float) -> float:
    return min(highest, max(lowest, value))
