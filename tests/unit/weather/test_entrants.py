"""The canaries, each with the fault that it is there to catch, and what our own forecasts are worth on the planet."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from statistics import fmean

import numpy as np
import pytest

from tests.unit.weather.toy import SMALL_GLOBE
from weather import metrics
from weather.entrants import prove_scorer
from weather.faults import InternalError
from weather.fields import Field
from weather.final_score import case_score
from weather.planet.planet import Planet, Weather
from weather.score_spec import load_rules
from weather.sums import FieldSums, field_sums

PLANET, RULES = Planet(7), load_rules("5p625-small").era5_final
T0 = datetime(2026, 11, 22, 18, tzinfo=UTC)
VALID = T0 + timedelta(hours=24)
FIELDS = [(one.variable, one.levels[0]) for one in RULES.fields]
CASES = (("2t", 0), ("u", 850), ("z", 500))
Change = Callable[[np.ndarray], np.ndarray]


def truth(variable: str = "z", level: int = 500, change: Change = np.asarray, at: datetime = VALID) -> Field:
    field = PLANET.era5(VALID).field(variable, level, SMALL_GLOBE)
    return Field.of(SMALL_GLOBE, variable, level, at, change(field.values))


def climatology(variable: str = "z", level: int = 500, change: Change = np.asarray) -> Field:
    field = PLANET.climatology(VALID).field(variable, level, SMALL_GLOBE)
    return Field.of(SMALL_GLOBE, variable, level, VALID, change(field.values))


@pytest.mark.parametrize("key", FIELDS)
def test_the_canaries_live_on_every_variable(key: tuple[str, int]) -> None:
    prove_scorer(RULES, truth(*key), climatology(*key), VALID)


def zonal(values: np.ndarray) -> np.ndarray:
    return values.mean(axis=1, keepdims=True) + np.zeros_like(values)


def alike(values: np.ndarray) -> np.ndarray:
    return (values + values[::-1]) / 2


@pytest.mark.parametrize(
    ("canary", "key", "o", "c"),
    [
        ("rolled by 180°", ("z", 500), zonal, np.asarray),
        ("flipped", ("z", 500), alike, np.asarray),
        ("truth inside", ("z", 500), lambda values: values / 9.80665, np.asarray),
        ("truth inside", ("2t", 0), lambda values: values - 273.15, np.asarray),
        ("climatology inside", ("msl", 0), np.asarray, lambda values: values / 100),
        ("climatology inside", ("t", 850), np.asarray, lambda values: -values),
    ],
)
def test_a_fault_of_axis_unit_or_sign_in_the_inputs_stops_the_pass(
    canary: str, key: tuple[str, int], o: Change, c: Change
) -> None:
    with pytest.raises(InternalError, match=canary):
        prove_scorer(RULES, truth(*key, change=o), climatology(*key, change=c), VALID)


def test_truth_of_another_time_stops_the_pass() -> None:
    with pytest.raises(InternalError, match="cannot be compared"):
        prove_scorer(RULES, truth(at=T0), climatology(), VALID)


def altered(**changes: Callable[[FieldSums], float]) -> Callable[[Field, Field, Field], FieldSums]:
    """The arithmetic with a fault."""

    def sums(forecast: Field, o: Field, c: Field) -> FieldSums:
        right = field_sums(forecast, o, c)
        return replace(right, **{name: change(right) for name, change in changes.items()})

    return sums


@pytest.mark.parametrize(
    ("canary", "sums"),
    [
        ("RMSE of the truth", altered(D2=lambda s: s.D2 + 1e-9)),
        ("ACC of the truth", altered(PQ=lambda s: -s.PQ)),
        ("ACC of the mirrored", altered(PQ=lambda s: abs(s.PQ))),
        ("skill of the mirrored", altered(D2=lambda s: s.D2 / 2 if s.P2 else s.D2)),
        ("score of climatology", altered(D2=lambda s: s.D2 * (1 - 1e-12))),
    ],
)
def test_a_fault_of_the_arithmetic_stops_the_pass(
    canary: str, sums: Callable[[Field, Field, Field], FieldSums]
) -> None:
    with pytest.raises(InternalError, match=canary):
        prove_scorer(RULES, truth(), climatology(), VALID, sums)


def scores(weather: Callable[[datetime, int], Weather], lead: int) -> float:
    """Mean over 20 runs of what a forecast by init time and lead scores."""
    found = []
    for day in range(20):
        init_time = T0 + timedelta(days=3 * day)
        at = init_time + timedelta(hours=lead)
        o, c, f = PLANET.era5(at), PLANET.climatology(at), weather(init_time, lead)
        for variable, level in CASES:
            values = f.field(variable, level, SMALL_GLOBE).values
            fields = [each.field(variable, level, SMALL_GLOBE) for each in (o, c)]
            forecast = Field.of(SMALL_GLOBE, variable, level, at, values)
            found.append(case_score(RULES, field_sums(forecast, *fields)))
    return fmean(found)


def persistence(init_time: datetime, _lead: int) -> Weather:
    return PLANET.gfs_analysis(init_time)


def test_climatology_scores_a_fifth_in_every_case() -> None:
    for key in FIELDS:
        sums = field_sums(climatology(*key), truth(*key), climatology(*key))
        assert abs(case_score(RULES, sums) - 0.2) <= 1e-15 and metrics.skill(sums) == 0


def test_persistence_is_above_climatology_for_a_day_and_near_it_in_the_end() -> None:
    assert scores(persistence, 24) > 0.2
    assert abs(scores(persistence, 240) - 0.2) <= 0.05


@pytest.mark.parametrize("lead", [24, 72, 168])
def test_gfs_is_above_persistence_up_to_a_week(lead: int) -> None:
    assert scores(PLANET.gfs_forecast, lead) > scores(persistence, lead)
