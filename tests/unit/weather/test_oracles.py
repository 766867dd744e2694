"""Two public libraries compute the same metrics."""

import warnings

import numpy as np
import pytest
import xarray as xr

from tests.unit.weather.toy import SMALL_GLOBE, random_triple
from weather import metrics
from weather.sums import field_sums

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # an escape in a docstring of a dependency
    import scores.continuous
    import xskillscore


def on_xarray(field):
    coordinates = {"latitude": field.grid.latitudes, "longitude": field.grid.longitudes}
    return xr.DataArray(field.values.astype(np.float64), coords=coordinates, dims=("latitude", "longitude"))


@pytest.mark.parametrize("block", range(4))
def test_two_libraries_agree_on_random_cases(block):
    for seed in range(25 * block, 25 * block + 25):
        forecast, truth, climatology = random_triple(SMALL_GLOBE, seed)
        sums = field_sums(forecast, truth, climatology)
        f, o, c = map(on_xarray, (forecast, truth, climatology))
        weights = xr.zeros_like(f) + xr.DataArray(SMALL_GLOBE.row_weights, dims="latitude")
        dims = ["latitude", "longitude"]
        pairs = [
            (metrics.rmse(sums), scores.continuous.rmse(f, o, weights=weights)),
            (metrics.mae(sums), scores.continuous.mae(f, o, weights=weights)),
            (metrics.bias(sums), scores.continuous.additive_bias(f, o, weights=weights)),
            (metrics.rmse(sums), xskillscore.rmse(f, o, dim=dims, weights=weights)),
            (metrics.mae(sums), xskillscore.mae(f, o, dim=dims, weights=weights)),
            (metrics.acc(sums), xskillscore.pearson_r(f - c, o - c, dim=dims, weights=weights)),
        ]
        for ours, theirs in pairs:
            assert ours == pytest.approx(theirs.item(), abs=1e-10)
