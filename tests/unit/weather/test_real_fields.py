"""Real fields of ECMWF: the numbers that public tools give."""

from datetime import UTC, datetime
from math import fsum

import eccodes
import numpy as np
import pytest

from tests.samples import sample_path
from tests.unit.weather.toy import QUARTER_DEGREE
from weather import metrics
from weather.fields import Field
from weather.grids import Grid
from weather.sums import field_sums

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
EUROPE = Grid("europe-10", 80_000_000, -10_000_000, 7, 290_000_000, 10_000_000, 12)
FORECAST = {"dataDate": 20160925, "dataTime": 0, "step": 120}
PERSISTENCE = {"dataDate": 20160925, "dataTime": 0}
ANALYSIS = {"dataDate": 20160930, "dataTime": 0}


def message(name: str, **wanted: int) -> np.ndarray:
    """Values of the one message of a sample that has the wanted keys."""
    with sample_path(name).open("rb") as file:
        while (handle := eccodes.codes_grib_new_from_file(file)) is not None:
            keys = {key: eccodes.codes_get_long(handle, key) for key in wanted}
            shape = eccodes.codes_get_long(handle, "Nj"), eccodes.codes_get_long(handle, "Ni")
            values = eccodes.codes_get_values(handle).reshape(shape)
            eccodes.codes_release(handle)
            if keys == wanted:
                return values
    raise AssertionError(f"{name} has no message {wanted}")


def t500(values: np.ndarray) -> Field:
    return Field.of(QUARTER_DEGREE, "t", 500, NOON, values)


@pytest.fixture(scope="module")
def pair() -> tuple[Field, Field]:
    folder = "pairs/persist_t500_aifs_20260310/t500_20260310"
    files = [f"{folder}T00_aifs-ens-cf_f000.grib2", f"{folder}T12_aifs-single_f000.grib2"]
    earlier, later = (t500(np.roll(message(file), 720, axis=1)) for file in files)
    return earlier, later


def test_fields_of_the_pair_have_their_digests(pair):
    assert [field.digest for field in pair] == [
        "a9251dc4439ac3d6ddd8f8471cc1e94b012563a5b25aeac66204d0227ae73e55",
        "237338aee786c4932384d873b18e4771ba60613676e09b0257ff5a07cccc0dfa",
    ]


def test_persistence_of_t500_has_its_error_and_its_bits(pair):
    earlier, later = pair
    zonal_means = [fsum(row) / 1440 for row in later.values.astype(np.float64).tolist()]
    climatology = t500(np.repeat(np.array(zonal_means)[:, None], 1440, axis=1))
    sums = field_sums(earlier, later, climatology)
    assert metrics.rmse(sums) == pytest.approx(1.967222304, abs=1e-9)
    assert metrics.bias(sums) == pytest.approx(0.050519832, abs=1e-9)
    assert metrics.mae(sums) == pytest.approx(1.252355503, abs=1e-9)
    assert metrics.acc(sums) == pytest.approx(0.857234725, abs=1e-9)
    assert metrics.acc_uncentred(sums) == pytest.approx(0.857152798, abs=1e-9)
    assert [float(total).hex() for total in (sums.D, sums.D2, sums.PQ)] == [
        "0x1.9ddbc415044f2p-5",
        "0x1.ef5af792e4042p+1",
        "0x1.734dd27e2c521p+3",
    ]


@pytest.mark.parametrize(
    ("variable", "level", "forecast", "persistence"),
    [
        ("10u", 0, 2.5992, 6.1865),
        ("10v", 0, 3.3782, 5.1003),
        ("msl", 0, 261.2816, 1081.2646),
        ("t", 850, 1.7129, 4.0354),
        ("t", 500, 1.8488, 4.5246),
        ("u", 500, 6.4827, 11.6876),
        ("v", 500, 7.2863, 11.0877),
    ],
)
def test_errors_of_a_real_forecast_over_a_region(variable, level, forecast, persistence):
    surface, where = ("pl", {"level": level}) if level else ("sfc", {})
    folder = f"pairs/ifs_oper_vs_an_20160925/{{}}_{variable}_{surface}.grib"
    truth = message(folder.format("an"), **ANALYSIS, **where)
    for kind, keys, expected in (("oper", FORECAST, forecast), ("an", PERSISTENCE, persistence)):
        values = message(folder.format(kind), **keys, **where)
        f, o = (Field.of(EUROPE, variable, level, NOON, field) for field in (values, truth))
        assert metrics.rmse(field_sums(f, o, o)) == pytest.approx(expected, abs=5.1e-5)
