"""Metrics: golden numbers, degenerate inputs, the identity."""

from dataclasses import replace
from math import sqrt

import numpy as np
import pytest

from tests.unit.weather.toy import P1, P2, S1, S2, SMALL_GLOBE, ZERO, Q, on_grid, random_triple, toy_field
from weather import metrics
from weather.faults import InternalError, SourceCorrupt
from weather.final_score import case_score, nano
from weather.score_spec import load_rules
from weather.sums import field_sums, reference_sums

RULES = load_rules("5p625").era5_final
GOLDEN = {
    "activity": (0.768391522542, 0.648238201557),
    "rmse": (0.790569415042, 1.172603939956),
    "acc": (0.927607783970, 0.738499216963),
    "acc_uncentred": (0.891132788679, 0.738548945876),
    "skill": (0.791666666667, 0.541666666667),
    "relative_rmse": (0.456435464588, 0.677003200386),
}
GOLDEN_AGAINST_PUBLIC = {
    "skill_against_reference": (0.545454545455, 0),
    "pattern_correlation": (0.712395611657, 0.779483762954),
    "public_distance": (0.581521739130, 1.163043478261),
}


def sums_of(anomaly, truth=Q):
    return field_sums(toy_field(anomaly), toy_field(truth), toy_field(ZERO))


def references_of(anomaly, *public, truth=Q):
    return reference_sums(toy_field(anomaly), toy_field(truth), toy_field(ZERO), [toy_field(p) for p in public])


@pytest.mark.parametrize("metric", GOLDEN)
def test_golden_metrics_of_both_forecasts(metric):
    found = [getattr(metrics, metric)(sums_of(p)) for p in (P1, P2)]
    assert found == pytest.approx(GOLDEN[metric], abs=1e-12)


@pytest.mark.parametrize("metric", GOLDEN_AGAINST_PUBLIC)
def test_golden_metrics_against_the_public_forecasts(metric):
    found = [getattr(metrics, metric)(sums_of(p), references_of(p, S1, S2)) for p in (P1, P2)]
    assert found == pytest.approx(GOLDEN_AGAINST_PUBLIC[metric], abs=1e-12)


def test_golden_shares_of_the_nearest_mixture_and_case_scores():
    shares = [metrics.mixture_share(references_of(p, S1, S2)) for p in (P1, P2)]
    assert shares == pytest.approx([0.434783, 0.826087], abs=5e-7)
    assert [case_score(RULES, sums_of(p)) for p in (P1, P2)] == pytest.approx(
        [0.832801951016, 0.645405060935], abs=1e-12
    )
    assert [nano(case_score(RULES, sums_of(p))) for p in (P1, P2)] == [832801951, 645405061]


@pytest.mark.parametrize(
    ("anomaly", "expected"),
    [(Q, 1.0), (ZERO, 0.2), (-Q, 0.1 / 3)],
    ids=["the truth", "climatology", "mirrored anomaly"],
)
def test_scores_of_forecasts_that_are_known_beforehand(anomaly, expected):
    assert case_score(RULES, sums_of(anomaly)) == pytest.approx(expected, abs=1e-15)


def test_a_constant_error_of_three_kelvin_is_bias_and_costs_score():
    good, warm = sums_of(P1), sums_of(P1 + 3)
    assert metrics.bias(warm) - metrics.bias(good) == 3
    assert case_score(RULES, warm) < case_score(RULES, good)


def test_constant_anomalies_correlate_with_nothing():
    constant = sums_of(ZERO + 0.1)
    assert metrics.acc(constant) == metrics.activity(constant) == 0
    assert metrics.activity(sums_of(P1, truth=ZERO + 0.1)) is None
    assert metrics.pattern_correlation(constant, references_of(ZERO + 0.1, S1)) == 0
    assert metrics.acc(sums_of(P1, truth=ZERO + 0.1)) == 0


@pytest.mark.parametrize("constant", [0.1, 0.3, 1e-4, 12345.678])
def test_the_rounding_of_a_constant_anomaly_is_no_variance(constant):
    flat = on_grid(SMALL_GLOBE, np.full(SMALL_GLOBE.shape, constant), "10u")
    wave = on_grid(SMALL_GLOBE, np.sin(np.radians(SMALL_GLOBE.longitudes)) + np.zeros(SMALL_GLOBE.shape), "10u")
    nothing = on_grid(SMALL_GLOBE, np.zeros(SMALL_GLOBE.shape), "10u")
    sums = field_sums(flat, wave, nothing)
    assert metrics.acc(sums) == 0


def test_climatology_has_no_skill_and_no_correlation():
    climatology = sums_of(ZERO)
    assert metrics.skill(climatology) == metrics.acc(climatology) == metrics.acc_uncentred(climatology) == 0
    assert metrics.relative_rmse(climatology) == 1


def test_the_truth_is_perfect():
    perfect = sums_of(Q)
    assert metrics.rmse(perfect) == metrics.mae(perfect) == metrics.bias(perfect) == 0
    assert metrics.acc(perfect) == metrics.skill(perfect) == metrics.activity(perfect) == 1


@pytest.mark.parametrize("metric", [metrics.skill, metrics.relative_rmse])
def test_truth_that_equals_climatology_is_corrupt(metric):
    with pytest.raises(SourceCorrupt, match="climatology"):
        metric(sums_of(P1, truth=ZERO))


def test_a_public_forecast_that_equals_the_truth_is_corrupt():
    with pytest.raises(SourceCorrupt, match="public"):
        metrics.skill_against_reference(sums_of(P1), references_of(P1, Q))


def test_distance_to_public_forecasts_is_least_over_their_mixtures():
    mixtures = [metrics.public_distance(sums_of(p), references_of(p, S1, S2)) for p in (S1, S2, (S1 + S2) / 2)]
    assert mixtures == [0, 0, 0]
    alone = references_of(P1, S1)
    assert metrics.public_distance(sums_of(P1), alone) == alone.G_11
    assert metrics.mixture_share(references_of(P1, S1, S1)) == 1


def test_sums_of_one_fact_hold_the_identity_and_an_altered_one_is_found():
    for seed in range(1000):
        sums = field_sums(*random_triple(SMALL_GLOBE, seed))
        metrics.check_identity(sums)
        with pytest.raises(InternalError, match="contradict"):
            metrics.check_identity(replace(sums, D2=sums.D2 * (1 + 1e-4)))


def test_skill_is_one_minus_a_ratio_of_squares():
    sums = field_sums(*random_triple(SMALL_GLOBE, 1))
    assert metrics.skill(sums) == pytest.approx(1 - metrics.relative_rmse(sums) ** 2)
    assert metrics.rmse(sums) == sqrt(metrics.mse(sums))
    flipped = on_grid(SMALL_GLOBE, random_triple(SMALL_GLOBE, 1)[1].values[::-1])
    assert metrics.rmse(field_sums(flipped, *random_triple(SMALL_GLOBE, 1)[1:])) > 1
