"""The kinds of forecast on the synthetic planet."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from adapters.grib_decoder import GribDecoder
from miner.forecasts import KINDS, Fields, Inputs, shifted
from protocol.layout import Layout, load_layout
from tests.samples import sample_path
from weather.faults import SourceGone
from weather.grids import Grid
from weather.planet.planet import Planet, Weather

T0 = datetime(2026, 11, 22, 18, tzinfo=UTC)
PLANET = Planet(seed=7)
LAYOUT = load_layout("5p625-small")
GRID = LAYOUT.grid_value


def fields(weather: Weather) -> Fields:
    return {(name, level): weather.field(name, level, GRID).values for name, level in LAYOUT.fields()}


@pytest.fixture(scope="module")
def inputs() -> Iterator[Inputs]:
    yield Inputs(
        name="trade-wind",
        layout=LAYOUT,
        init_time=T0,
        analysis=fields(PLANET.gfs_analysis(T0)),
        earlier=fields(PLANET.gfs_analysis(T0 - timedelta(hours=6))),
        climatology=lambda valid_time: fields(PLANET.climatology(valid_time)),
        gfs=lambda lead_hours: fields(PLANET.gfs_forecast(T0, lead_hours)),
        decode=lambda data: [],
    )


def error(inputs: Inputs, kind: str, lead_hours: int, **parameters: float | int) -> float:
    """Weighted RMSE of z500 against the reanalysis, m2 s-2."""
    forecast = KINDS[kind](inputs, **parameters)(lead_hours)["z", 500].astype(np.float64)
    truth = PLANET.era5(T0 + timedelta(hours=lead_hours)).field("z", 500, GRID).values
    return float(np.sqrt(np.sum(GRID.row_weights[:, None] * (forecast - truth) ** 2)))


@pytest.mark.parametrize("kind", sorted(KINDS.keys() - {"grib_file"}))
def test_every_kind_fills_the_layout_with_finite_values(inputs: Inputs, kind: str) -> None:
    forecast = KINDS[kind](inputs)
    for lead_hours in (6, 240):
        made = forecast(lead_hours)
        assert made.keys() == set(LAYOUT.fields())
        assert all(values.shape == GRID.shape and np.isfinite(values).all() for values in made.values())


def test_order_at_day_five_is_by_skill_and_all_models_beat_persistence(inputs: Inputs) -> None:
    ordered = [error(inputs, "skilful", 120, skill=skill, seed=7) for skill in (1.4, 1.0, 0.7)]
    assert ordered == sorted(ordered)
    assert ordered[-1] < error(inputs, "persistence", 120)


def test_simple_kinds_beat_persistence_after_a_day(inputs: Inputs) -> None:
    persistence = error(inputs, "persistence", 72)
    assert error(inputs, "damped_persistence", 72) < persistence
    assert error(inputs, "climatology", 72) < persistence
    assert error(inputs, "advected_persistence", 24) < error(inputs, "damped_persistence", 24)


def test_without_an_earlier_analysis_nothing_is_seen_to_drift(inputs: Inputs) -> None:
    still = error(replace(inputs, earlier={}), "advected_persistence", 24)
    assert still == error(inputs, "damped_persistence", 24)


def test_miners_of_one_skill_but_other_names_differ(inputs: Inputs) -> None:
    other = replace(inputs, name="calm")
    one, two = (KINDS["skilful"](case, skill=1.0, seed=7)(24)["z", 500] for case in (inputs, other))
    assert not np.array_equal(one, two)


def test_damped_anomaly_ends_at_the_climatology_of_the_valid_time(inputs: Inputs) -> None:
    faded = KINDS["damped_persistence"](inputs, daily_factor=0.01)(240)
    for key, normal in inputs.normal(240).items():
        np.testing.assert_allclose(faded[key], normal, atol=1e-5)


def test_shift_by_whole_columns_is_a_roll_and_by_half_a_column_the_mean(inputs: Inputs) -> None:
    values = inputs.analysis["t", 500]
    np.testing.assert_array_equal(shifted(values, 2 * 5.625, GRID), np.roll(values, 2, axis=1))
    np.testing.assert_array_equal(shifted(values, 360.0, GRID), values)
    np.testing.assert_allclose(shifted(values, 5.625 / 2, GRID), (values + np.roll(values, 1, axis=1)) / 2)


def test_shift_on_a_regional_grid_repeats_the_western_edge() -> None:
    grid = Grid("strip", 80_000_000, -10_000_000, 1, 350_000_000, 10_000_000, 4)
    values = np.array([[1.0, 2.0, 3.0, 4.0]], dtype=np.float32)
    np.testing.assert_array_equal(shifted(values, 15.0, grid), [[1.0, 1.0, 1.5, 2.5]])


EUROPE = Layout.of_value(
    {
        **LAYOUT.value,
        "grid": "ifs-europe",
        "lead_time_hours": [120],
        "level_hectopascal": [500, 850],
        "variables": [one for one in LAYOUT.value["variables"] if one["name"] not in ("2t", "q", "z")],
        "microdegrees": {
            "latitude_first": 80_000_000,
            "latitude_step": -10_000_000,
            "latitude_count": 7,
            "longitude_first": 290_000_000,
            "longitude_step": 10_000_000,
            "longitude_count": 12,
        },
    }
)


def test_real_ecmwf_forecast_is_read_from_its_files(inputs: Inputs) -> None:
    folder = str(sample_path("pairs/ifs_oper_vs_an_20160925"))
    init_time = datetime(2016, 9, 25, tzinfo=UTC)
    weights = EUROPE.grid_value.row_weights[:, None] / EUROPE.grid_value.total_weight

    def rmse(fields: Fields, key: tuple[str, int]) -> float:
        return float(np.sqrt(np.sum(weights * (fields[key].astype(np.float64) - truth[key]) ** 2)))

    with closing(GribDecoder()) as decoder:
        real = replace(inputs, layout=EUROPE, init_time=init_time, decode=decoder.decode_any)
        later = replace(real, init_time=init_time + timedelta(hours=120))
        forecast = KINDS["grib_file"](real, folder=folder, prefix="oper")
        made, persisted, truth = (
            forecast(120),
            KINDS["grib_file"](real, folder=folder, prefix="an", step_hours=0)(120),
            KINDS["grib_file"](later, folder=folder, prefix="an", step_hours=0)(120),
        )
    assert made.keys() == set(EUROPE.fields())
    assert (rmse(made, ("t", 500)), rmse(persisted, ("t", 500))) == pytest.approx((1.8488, 4.5246), abs=5e-5)
    assert (rmse(made, ("msl", 0)), rmse(persisted, ("msl", 0))) == pytest.approx((261.2816, 1081.2646), abs=5e-5)
    with pytest.raises(SourceGone, match="no 10u of 2016-09-30T06Z, step 126"):
        forecast(126)
