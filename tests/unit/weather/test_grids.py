"""Grids and their weights."""

import math
import subprocess
import sys

import numpy as np
import pytest

from tests.unit.weather.toy import QUARTER_DEGREE, SMALL_GLOBE, TOY
from weather.grids import Grid

DIGESTS = {
    QUARTER_DEGREE: "a03e3640989ad399f88fa001ecf3d0cda6c7686f571f8ff99e3ea4844fa6580b",
    SMALL_GLOBE: "4cf7e1d9fb369934d60325ca320ae78b4f83bd80dc1fcdb8f21ef6cb2002bef6",
    TOY: "0d008b08ebb0d5a4dcb0fb4ef517d3e40fdaf4126a1224655ee7271f10fa0ad9",
}
EUROPE = Grid("europe-10", 80_000_000, -10_000_000, 7, 290_000_000, 10_000_000, 12)


@pytest.mark.parametrize("grid", DIGESTS, ids=lambda grid: grid.name)
def test_weights_have_the_digest_of_the_specification(grid):
    assert grid.weights_sha256 == DIGESTS[grid]


@pytest.mark.parametrize("grid", DIGESTS, ids=lambda grid: grid.name)
def test_weights_of_the_sphere_add_up_to_exactly_one_and_are_symmetric(grid):
    assert grid.total_weight == 1.0
    assert math.fsum(np.repeat(grid.row_weights, grid.longitude_count)) == 1.0
    assert (grid.row_weights == grid.row_weights[::-1]).all()


def test_anchors_of_the_quarter_degree_grid():
    weights = QUARTER_DEGREE.row_weights
    anchors = [weights[row].hex() for row in (0, 1, 360)]
    assert anchors == ["0x1.c6473add79670p-31", "0x1.c646d096ae970p-28", "0x1.96b0dcd756cd0p-20"]


def test_another_process_computes_the_same_weights():
    code = "from tests.unit.weather.toy import QUARTER_DEGREE as g; import sys; sys.stdout.write(g.weights_sha256)"
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert there.stdout == QUARTER_DEGREE.weights_sha256


def test_a_precision_set_elsewhere_in_the_process_changes_no_weight():
    code = "import decimal; decimal.getcontext().prec = 4; " + (
        "from tests.unit.weather.toy import SMALL_GLOBE as g; import sys; sys.stdout.write(g.weights_sha256)"
    )
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert there.stdout == SMALL_GLOBE.weights_sha256


def test_coordinates_are_integers_of_microdegrees_divided_once():
    assert SMALL_GLOBE.latitudes[:2].tolist() == [87.1875, 81.5625]
    assert SMALL_GLOBE.longitudes[-1] == 354.375
    assert QUARTER_DEGREE.latitudes[-1] == -90.0


def test_a_region_that_crosses_greenwich_keeps_its_order_and_weighs_less_than_the_sphere():
    assert EUROPE.longitudes.tolist() == [290, 300, 310, 320, 330, 340, 350, 0, 10, 20, 30, 40]
    band = (math.sin(math.radians(85)) - math.sin(math.radians(15))) / 2
    assert EUROPE.total_weight == pytest.approx(band * 120 / (12 * 10), rel=1e-15)
    assert EUROPE.row_weights.shape == (7,)


@pytest.mark.parametrize(
    "wrong",
    [
        {"latitude_first": -87_187_500, "latitude_step": 5_625_000},
        {"latitude_count": 34},
        {"longitude_step": -5_625_000},
        {"longitude_count": 65},
        {"longitude_first": 360_000_000},
    ],
    ids=["ascending", "past the pole", "westward", "more than once round", "origin at 360"],
)
def test_a_grid_that_is_not_north_to_south_and_eastward_once_round_is_refused(wrong):
    microdegrees = {name: getattr(SMALL_GLOBE, name) for name in SMALL_GLOBE.__dataclass_fields__ if name != "name"}
    with pytest.raises(ValueError, match="grid 5p625"):
        Grid("5p625", **microdegrees | wrong)
