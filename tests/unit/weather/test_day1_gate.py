"""The day-1 gate: golden variants and laws."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.weather.toy import CLIMATOLOGY, P1, P2, S1, S2, ZERO, Q, toy_field
from weather.day1_gate import Component, FailedCheck, Gate, Place, gate, gather_evidence, judge_component
from weather.faults import IncompleteForecast
from weather.score_spec import load_rules

RULES = load_rules("5p625").day1_qc
CLIMATES = {
    ("2t", 0): (CLIMATOLOGY, 1),
    ("10u", 0): (ZERO, 1),
    ("10v", 0): (ZERO, 1),
    ("msl", 0): (ZERO + 101_300, 100),
    ("z", 500): (ZERO + 54_000, 100),
}
PLACES = [Place(lead, *field) for lead in (6, 12) for field in CLIMATES]
FIRST = PLACES[0]
TERM = st.floats(0, 1)


def forecast_of(place: Place) -> np.ndarray:
    return P1 if place.lead_time_hours == 6 else P2


def judged(place: Place, anomaly: np.ndarray, shift: float = 0.0, public: tuple = (S1, S2)) -> Component:
    climatology, scale = CLIMATES[place.variable, place.level]
    of = lambda values: toy_field(scale * values, place.variable, place.level, climatology)  # noqa: E731
    forecast = toy_field(scale * anomaly + shift, place.variable, place.level, climatology)
    return judge_component(RULES, place, gather_evidence(forecast, of(Q), of(ZERO), [of(p) for p in public]))


def failed_check(component: Component) -> FailedCheck:
    assert component.failed is not None
    return component.failed


def components(changed: Component | None = None) -> list[Component]:
    honest = {place: judged(place, forecast_of(place)) for place in PLACES}
    return list((honest | ({changed.place: changed} if changed else {})).values())


def means(parts: list[Component]) -> tuple[float, float]:
    return sum(part.u for part in parts) / len(parts), sum(part.a for part in parts) / len(parts)


def test_variant_as_given_passes():
    parts = components()
    verdict = gate(RULES, parts)
    assert means(parts) == pytest.approx((0.272727272727, 0.916526750233), abs=1e-12)
    assert verdict.q == pytest.approx(0.530247063730, abs=1e-12)
    assert (verdict.passed, verdict.code, verdict.full_clone) == (True, None, False)


def test_variant_in_celsius_fails_its_component_only():
    celsius = judged(FIRST, P1, shift=-273.15)
    parts = components(celsius)
    found = failed_check(celsius)
    assert (celsius.code, found.check, found.limit) == ("QualityControlFailed", "minimum", 170)
    assert found.found == pytest.approx(260 - 2 - 273.15, abs=1e-4)
    assert means(parts) == pytest.approx((0.218181818182, 0.820146361035), abs=1e-12)
    assert gate(RULES, parts).q == pytest.approx(0.458967635323, abs=1e-12)
    assert gate(RULES, parts).passed


def test_variant_that_copies_one_component_loses_the_gate_but_not_the_run():
    copy = judged(FIRST, S1 + 1 / 32)
    parts = components(copy)
    verdict = gate(RULES, parts)
    assert copy.penalty == pytest.approx(0.611497961957, abs=1e-12)
    assert (copy.u, copy.code) == (0, None)
    assert copy.a == pytest.approx(0.889495263493, abs=1e-12)
    assert means(parts) == pytest.approx((0.218181818182, 0.909095887385), abs=1e-12)
    assert (verdict.q, verdict.passed, verdict.code, verdict.full_clone) == (0.05, False, "BaselineClone", False)


def test_variant_that_mixes_public_forecasts_everywhere_loses_the_run():
    parts = [judged(place, (S1 + S2) / 2) for place in PLACES]
    verdict = gate(RULES, parts)
    assert [part.penalty for part in parts] == [1.0] * 10
    assert (verdict.q, verdict.code, verdict.full_clone) == (0.05, "BaselineClone", True)


def test_with_one_public_forecast_only_that_one_is_a_clone():
    assert judged(FIRST, S1, public=(S1,)).penalty == 1
    assert judged(FIRST, S2, public=(S1,)).penalty == 0


def test_too_high_and_unlike_the_public_forecast_are_checks_of_their_own():
    hot = judged(FIRST, P1, shift=60)
    assert failed_check(hot) == FailedCheck("maximum", 362, 340)
    mirrored = judged(FIRST, -P1)
    assert failed_check(mirrored).check == "pattern_correlation"
    assert failed_check(mirrored).found == pytest.approx(-0.712395611657, abs=1e-12)
    assert failed_check(judged(FIRST, ZERO)).found == 0


def test_a_field_with_a_hole_is_never_judged():
    hole = P1.copy()
    hole[0, 0] = np.nan
    with pytest.raises(IncompleteForecast):
        judged(FIRST, hole)


def test_climatology_everywhere_fails_with_nothing():
    verdict = gate(RULES, [judged(place, ZERO) for place in PLACES])
    assert (verdict.q, verdict.passed, verdict.code) == (0, False, "QualityControlFailed")


def test_a_gate_without_components_does_not_open():
    assert gate(RULES, []) == Gate(q=None, passed=False, code=None, full_clone=False)


@given(st.lists(st.tuples(TERM, TERM), min_size=1, max_size=10), st.integers(0, 9))
def test_a_failed_check_never_beats_a_field_that_passes_without_a_penalty(terms, index):
    passing = [Component(FIRST, u=u, a=a) for u, a in terms]
    failing = list(passing)
    failing[index % len(terms)] = Component(FIRST, code="QualityControlFailed")
    worse, better = gate(RULES, failing).q, gate(RULES, passing).q
    assert worse is not None
    assert better is not None
    assert worse <= better
