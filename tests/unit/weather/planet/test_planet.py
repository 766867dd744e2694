from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from weather.grids import Grid
from weather.planet.harmonics import WAVENUMBERS, basis
from weather.planet.planet import Offset, Planet, Weather
from weather.planet.streams import coefficients, variance
from weather.variables import LEVELS, VARIABLES, bounds

GRID = Grid("5p625", 87_187_500, -5_625_000, 32, 0, 5_625_000, 64)
POLES = Grid("poles", 90_000_000, -30_000_000, 7, 0, 45_000_000, 8)
CLOSE = Grid("close", 40_500_000, -500_000, 3, 10_000_000, 500_000, 3)
WEIGHTS = GRID.row_weights[:, None]
PLANET = Planet(7)
NEW_YEAR = datetime(2025, 1, 1, tzinfo=UTC)
STARTS = [NEW_YEAR + timedelta(days=7) * week for week in range(52)]
FIELDS = [(name, level) for name, known in VARIABLES.items() for level in (LEVELS if known.has_levels else (0,))]


def values(weather: Weather, variable: str, level: int, grid: Grid = GRID) -> np.ndarray:
    return weather.field(variable, level, grid).values.astype(np.float64)


def anomaly(weather: Weather, variable: str = "z", level: int = 500) -> np.ndarray:
    return values(weather, variable, level) - values(PLANET.climatology(weather.valid_time), variable, level)


def correlation(pairs: list[tuple[Weather, Weather]]) -> float:
    a, b = (np.stack([anomaly(weather) for weather in side]) for side in zip(*pairs, strict=True))
    return float(np.sum(WEIGHTS * a * b) / np.sqrt(np.sum(WEIGHTS * a * a) * np.sum(WEIGHTS * b * b)))


def test_harmonics_of_one_wavenumber_have_2n_plus_1_as_their_sum_of_squares_everywhere() -> None:
    for grid in (GRID, POLES):
        squares = np.sum(basis(grid).legendre[0] ** 2, axis=1)
        assert squares == pytest.approx(np.tile(2.0 * np.arange(WAVENUMBERS)[:, None] + 1, grid.shape[0]), rel=1e-12)


def test_variance_per_wavenumber_over_300_days_is_the_planned_one() -> None:
    """AT-D27"""
    found, samples = np.zeros(WAVENUMBERS), 0
    inside = np.tri(WAVENUMBERS)[None] * np.stack([np.ones(WAVENUMBERS), np.arange(WAVENUMBERS) > 0])[:, None]
    for name in ("state", "era5", "gfs-analysis"):
        for hour in range(480_000, 480_000 + 300 * 24, 36):
            found += np.sum((coefficients(7, name, hour) * inside) ** 2, axis=(0, 1, 3)) / 5
            samples += 1
    assert found / samples == pytest.approx(variance(), rel=0.05)
    assert np.sum(variance()) == pytest.approx(1.0, abs=1e-15)


def test_anomalies_have_the_planned_standard_deviations() -> None:
    for (variable, level), planned in {("z", 500): 650, ("t", 850): 2.0, ("2t", 0): 2.9}.items():
        square = np.mean([np.sum(WEIGHTS * anomaly(PLANET.state(time), variable, level) ** 2) for time in STARTS])
        assert np.sqrt(square) == pytest.approx(planned, rel=0.08), variable


def test_every_field_stays_inside_its_bounds_through_the_seasons() -> None:
    """AT-D27"""
    for seed in (1, 2, 2026):
        for step in range(75):
            state = Planet(seed).state(NEW_YEAR + step * timedelta(days=4, hours=18))
            for variable, level in FIELDS:
                least, greatest = bounds(variable, level)
                found = state.field(variable, level, GRID).values
                assert least < found.min() and found.max() < greatest, (seed, variable, level, state.valid_time)


def test_persistence_loses_correlation_as_planned() -> None:
    """AT-D27"""
    for days, planned in {1: 0.82, 2: 0.45, 3: 0.18, 5: 0.04}.items():
        later = [(PLANET.state(start), PLANET.state(start + timedelta(days=days))) for start in STARTS]
        assert correlation(later) == pytest.approx(planned, abs=0.04)


@pytest.mark.parametrize(
    ("skill", "planned"), [(1.0, (0.99, 0.85, 0.46)), (0.7, (0.98, 0.68, 0.23)), (1.4, (0.99, 0.93, 0.69))]
)
def test_forecasts_lose_correlation_as_their_skill_allows(skill: float, planned: tuple[float, ...]) -> None:
    """AT-D27"""
    for lead_hours, expected in zip((24, 120, 240), planned, strict=True):
        forecasts = [PLANET.miner_forecast("alpha", skill, start, lead_hours) for start in STARTS]
        assert correlation([(made, PLANET.era5(made.valid_time)) for made in forecasts]) == pytest.approx(
            expected, abs=0.04
        )


def test_forecasts_stay_as_active_as_the_weather() -> None:
    forecasts = [PLANET.gfs_forecast(start, 240) for start in STARTS]
    squares = [[np.sum(WEIGHTS * anomaly(w) ** 2) for w in (made, PLANET.state(made.valid_time))] for made in forecasts]
    made, true = np.mean(squares, axis=0)
    assert np.sqrt(made / true) == pytest.approx(1.0, abs=0.05)


def test_half_of_the_error_variance_is_common_to_all_forecasts_of_an_init_time() -> None:
    pairs = [[PLANET.miner_forecast(name, 0.01, start, 48) for name in ("alpha", "beta")] for start in STARTS]
    assert correlation([(a, b) for a, b in pairs]) == pytest.approx(0.5, abs=0.05)


def test_winds_are_geostrophic_and_temperature_is_hydrostatic() -> None:
    state, climatology, step = (
        PLANET.state(NEW_YEAR),
        PLANET.climatology(NEW_YEAR),
        np.deg2rad(CLOSE.longitude_step / 1e6),
    )

    def departure(variable: str, level: int) -> np.ndarray:
        return values(state, variable, level, CLOSE) - values(climatology, variable, level, CLOSE)

    z = departure("z", 500)
    assert departure("u", 500)[1, 1] == pytest.approx((z[2, 1] - z[0, 1]) / (2 * step) / 637.1, abs=0.02)
    eastward = (z[1, 2] - z[1, 0]) / (2 * step) / np.cos(np.deg2rad(40))
    assert departure("v", 500)[1, 1] == pytest.approx(eastward / 637.1, abs=0.02)
    layer_mean = (departure("z", 400) - departure("z", 600)) / (287.05 * np.log(600 / 400))
    assert departure("t", 500) == pytest.approx(layer_mean, abs=0.1)


def test_wind_at_the_pole_is_one_vector() -> None:
    state = PLANET.state(NEW_YEAR)
    u, v = values(state, "u", 500, POLES), values(state, "v", 500, POLES)
    assert u[0, :4] == pytest.approx(-u[0, 4:], abs=1e-5)
    assert u[0, 0] == pytest.approx(-v[0, 2], abs=1e-5)
    assert abs(u[0, 0]) > 0.1


def test_the_north_is_warm_in_july_and_each_place_at_15_h_local_time() -> None:
    january, july = (values(PLANET.climatology(datetime(2025, month, 19, tzinfo=UTC)), "t", 1000) for month in (1, 7))
    assert (july[:16] > january[:16]).all() and (july[16:] < january[16:]).all()
    hours = [values(PLANET.climatology(NEW_YEAR + timedelta(hours=hour)), "2t", 0)[16] for hour in range(24)]
    warmest = np.argmax(hours, axis=0)
    assert warmest[0] == 15 and warmest[16] == 9 and warmest[48] == 21


def test_climatology_repeats_with_hour_and_day_of_year() -> None:
    leap, common = (PLANET.climatology(datetime(year, 3, day, 6, tzinfo=UTC)) for year, day in ((2024, 1), (2025, 2)))
    for field in FIELDS:
        assert leap.field(*field, GRID).digest == common.field(*field, GRID).digest


def test_analysis_is_the_state_with_noise_and_a_warm_north() -> None:
    errors = [values(PLANET.gfs_analysis(time), "2t", 0) - values(PLANET.state(time), "2t", 0) for time in STARTS]
    assert np.mean(errors, axis=0)[:16].mean() == pytest.approx(0.3, abs=0.03)
    assert np.mean(errors, axis=0)[16:].mean() == pytest.approx(0.0, abs=0.03)
    squares = [np.sum(WEIGHTS * (anomaly(PLANET.gfs_analysis(t)) - anomaly(PLANET.state(t))) ** 2) for t in STARTS]
    assert np.sqrt(np.mean(squares)) == pytest.approx(np.sqrt(0.003) * 660, rel=0.1)


def test_preliminary_reanalysis_differs_in_exactly_the_declared_cells() -> None:
    """AT-D28"""
    first = NEW_YEAR + timedelta(hours=6)
    planet = Planet(7, (Offset("2t", 0, first, first + timedelta(hours=6), (40.0, 60.0), (350.0, 10.0), 5.0),))
    rows, columns = GRID.latitudes[:, None], GRID.longitudes
    declared = (rows >= 40) & (rows <= 60) & ((columns >= 350) | (columns <= 10))
    assert np.count_nonzero(declared) == 12
    for hours, expected in ((0, 0), (6, 1), (12, 1), (18, 0)):
        valid_time = NEW_YEAR + timedelta(hours=hours)
        preliminary, final = planet.era5t(valid_time), planet.era5(valid_time)
        difference = values(preliminary, "2t", 0) - values(final, "2t", 0)
        assert ((difference != 0) == declared * expected).all()
        assert preliminary.field("t", 1000, GRID).digest == final.field("t", 1000, GRID).digest


def test_only_whole_hours_and_known_fields_exist() -> None:
    with pytest.raises(ValueError, match="whole hours"):
        PLANET.state(NEW_YEAR + timedelta(minutes=30))
    with pytest.raises(ValueError, match="no variable w"):
        PLANET.state(NEW_YEAR).field("w", 500, GRID)
