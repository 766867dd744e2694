"""The toy world of the golden numbers: a grid of 3 x 4 cells, two forecasts, two public forecasts."""

from datetime import UTC, datetime

import numpy as np

from weather.fields import Field
from weather.grids import Grid
from weather.sums import whole_grid_sum

TOY = Grid("toy", 60_000_000, -60_000_000, 3, 0, 90_000_000, 4)
SMALL_GLOBE = Grid("5p625", 87_187_500, -5_625_000, 32, 0, 5_625_000, 64)
QUARTER_DEGREE = Grid("0p25", 90_000_000, -250_000, 721, 0, 250_000, 1440)
VALID_TIME = datetime(2026, 11, 23, 18, tzinfo=UTC)


def rows(text: str) -> np.ndarray:
    return np.array([[float(number) for number in row.split()] for row in text.split("/")])


ZERO = np.zeros((3, 4))
Q = rows("2 -1  0  3 /  1 -2  2 -1 / -3  0  1  2")
P1 = rows("3 -1  1  2 /  1 -1  2  0 / -2  1  1  1")
P2 = rows("2  1 -2  1 /  1 -1  1  0 / -1  0  1  2")
S1 = rows("2  0 -1  1 / 0 -2  3  1 / -2 -1  2  3")
S2 = rows("1 -2  1  4 / 2 -1  3  0 / -4  1  0  1")
CLIMATOLOGY = np.array([[270.0], [300.0], [260.0]]) + ZERO


def toy_field(anomaly: np.ndarray, variable: str = "2t", level: int = 0, climatology: object = None) -> Field:
    return Field.of(TOY, variable, level, VALID_TIME, (CLIMATOLOGY if climatology is None else climatology) + anomaly)


def on_grid(grid: Grid, values: np.ndarray, variable: str = "2t", level: int = 0) -> Field:
    return Field.of(grid, variable, level, VALID_TIME, values)


def random_triple(grid: Grid, seed: int) -> tuple[Field, Field, Field]:
    """Forecast, truth and climatology whose anomalies correlate."""
    noise = np.random.default_rng(seed)
    climatology = 280 + 10 * noise.standard_normal(grid.shape)
    truth = climatology + 3 * noise.standard_normal(grid.shape)
    forecast = truth + noise.standard_normal(grid.shape) + 0.3
    return on_grid(grid, forecast), on_grid(grid, truth), on_grid(grid, climatology)


def plain_reference_sums(forecast: Field, truth: Field, climatology: Field, *references: Field) -> list[float]:
    """E2 to G_11, or to G_22, term by term."""
    f, o, c, *r = (field.values.astype(np.float64) for field in (forecast, truth, climatology, *references))
    e, s, p, g = r[0] - o, r[0] - c, f - c, [f - public for public in r]
    products = [g[k] * g[m] for k in range(len(g)) for m in range(len(g)) if k <= m]
    return [whole_grid_sum(forecast.grid.row_weights, term) for term in (e * e, s, s * s, p * s, *products)]
