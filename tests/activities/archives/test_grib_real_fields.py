from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from adapters.grib_decoder import GribDecoder, values_on
from adapters.grib_messages import cut_messages
from tests.activities.archives.real_files import (
    ATLANTIC,
    ONE,
    QUARTER,
    T500,
    encoded,
    one_field,
)
from tests.samples import sample_path
from weather.fields import Field
from weather.grids import Grid


@pytest.mark.parametrize(
    ("name", "digest"),
    [
        (T500[0], "a9251dc4439ac3d6ddd8f8471cc1e94b012563a5b25aeac66204d0227ae73e55"),
        (T500[1], "237338aee786c4932384d873b18e4771ba60613676e09b0257ff5a07cccc0dfa"),
    ],
)
def test_a_field_whose_longitudes_begin_at_180_has_the_digest_of_the_canonical_order(
    decoder: GribDecoder, name: str, digest: str
) -> None:
    decoded = one_field(decoder, sample_path(name).read_bytes())
    assert decoded.keys["longitudeOfFirstGridPointInDegrees"] == 180.0
    assert Field.of(QUARTER, "t", 500, decoded.validity, values_on(decoded, QUARTER)).digest == digest


def _errors(forecast: np.ndarray, truth: np.ndarray, grid: Grid) -> tuple[float, float, float]:
    """RMSE, bias and MAE by cell areas of float32 fields."""
    difference = forecast.astype(np.float32).astype(np.float64) - truth.astype(np.float32).astype(np.float64)
    weights = np.broadcast_to(grid.row_weights[:, None], grid.shape)
    mean = [float(np.average(value, weights=weights)) for value in (difference**2, difference, np.abs(difference))]
    return mean[0] ** 0.5, mean[1], mean[2]


def test_the_real_t500_pair_gives_the_numbers_of_the_scores(decoder: GribDecoder) -> None:
    earlier, later = (values_on(one_field(decoder, sample_path(name).read_bytes()), QUARTER) for name in T500)
    assert _errors(earlier, later, QUARTER) == pytest.approx((1.967222304, 0.050519832, 1.252355503), abs=1e-9)


@pytest.mark.parametrize(
    ("name", "file", "level", "rmse", "persistence"),
    [
        ("10u", "10u_sfc", 0, 2.5992, 6.1865),
        ("10v", "10v_sfc", 0, 3.3782, 5.1003),
        ("msl", "msl_sfc", 0, 261.2816, 1081.2646),
        ("t", "t_pl", 850, 1.7129, 4.0354),
        ("t", "t_pl", 500, 1.8488, 4.5246),
        ("u", "u_pl", 500, 6.4827, 11.6876),
        ("v", "v_pl", 500, 7.2863, 11.0877),
    ],
)
def test_the_real_forecasts_of_a_region_give_their_known_errors(
    decoder: GribDecoder, name: str, file: str, level: int, rmse: float, persistence: float
) -> None:
    folder = "pairs/ifs_oper_vs_an_20160925"
    forecast, analyses = (
        {
            (field.validity, field.keys["level"]): values_on(field, ATLANTIC)
            for field in decoder.decode_any(sample_path(f"{folder}/{kind}_{file}.grib").read_bytes())
        }
        for kind in ("oper", "an")
    )
    start, end = (datetime(2016, 9, day, tzinfo=UTC) for day in (25, 30))
    assert _errors(forecast[end, level], analyses[end, level], ATLANTIC)[0] == pytest.approx(rmse, abs=6e-5)
    persisted = _errors(analyses[start, level], analyses[end, level], ATLANTIC)[0]
    assert persisted == pytest.approx(persistence, abs=6e-5)


@pytest.mark.parametrize("edition", [1, 2])
@pytest.mark.parametrize("origin", [0, 90, 180, -180])
@pytest.mark.parametrize("northward", [False, True])
def test_one_field_has_one_digest_whatever_its_origin_and_row_order(
    decoder: GribDecoder, edition: int, origin: int, northward: bool
) -> None:
    template = cut_messages(sample_path("era5/era5_t_z_500_850_20070101T12_1deg.grib").read_bytes(), padded=True)[0]
    expected = values_on(one_field(decoder, template), ONE)
    rolled = np.roll(expected, -origin, axis=1)
    keys = {
        "edition": edition,
        "longitudeOfFirstGridPointInDegrees": origin,
        "longitudeOfLastGridPointInDegrees": origin + 359 if origin <= 0 else origin - 1,
        "jScansPositively": int(northward),
        "latitudeOfFirstGridPointInDegrees": -90 if northward else 90,
        "latitudeOfLastGridPointInDegrees": 90 if northward else -90,
    }
    decoded = one_field(decoder, encoded(template, rolled[::-1] if northward else rolled, **keys))
    assert np.array_equal(values_on(decoded, ONE), expected)


PACKINGS = [
    *((packing, bits) for packing in ("grid_simple", "grid_complex", "grid_ccsds") for bits in (12, 16)),
    *(("grid_complex_spatial_differencing", bits) for bits in (12, 16)),
    ("grid_ieee", 32),
]


@pytest.fixture(scope="module")
def quantised(decoder: GribDecoder) -> np.ndarray:
    """The real T500 in steps of 2^-6 K."""
    return np.rint(one_field(decoder, sample_path(T500[0]).read_bytes()).values * 64) / 64


@pytest.mark.parametrize(("packing", "bits"), PACKINGS)
def test_a_quantised_field_has_one_digest_in_every_packing(
    decoder: GribDecoder, quantised: np.ndarray, packing: str, bits: int
) -> None:
    keys = {"packingType": packing} | ({"bitsPerValue": bits} if packing != "grid_ieee" else {})
    decoded = one_field(decoder, encoded(sample_path(T500[0]).read_bytes(), quantised, **keys))
    assert decoded.keys["packingType"] == packing
    assert np.array_equal(decoded.values, quantised)
