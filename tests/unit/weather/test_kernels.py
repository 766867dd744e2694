"""The compiled kernels give the bits of plain numpy, for any shape."""

import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import pytest

from tests.unit.weather.toy import QUARTER_DEGREE, SMALL_GLOBE, TOY, on_grid, plain_reference_sums, random_triple
from weather import kernels, sums
from weather.fields import Field
from weather.grids import Grid

pytest.importorskip("numba")


def shapes() -> Iterator[Grid]:
    draw = np.random.default_rng(12)
    for _ in range(200):
        rows, columns = int(draw.integers(1, 40)), int(draw.integers(1, 90))
        yield Grid("odd", 89_000_000, -178_000_000 // rows, rows, 0, 4_000_000, columns)
    yield Grid("wide", 80_000_000, -20_000_000, 7, 0, 100_000, kernels.TILE + 3)
    yield from (TOY, SMALL_GLOBE)


def wild(grid: Grid, seed: int) -> Field:
    """Any finite bits of float32."""
    bits = np.random.default_rng(seed).integers(0, 2**32, grid.shape, dtype=np.uint32)
    values = bits.view(np.float32)
    return on_grid(grid, np.where(np.isfinite(values), values, 0))


def require_equal(fields: tuple[Field, ...]) -> None:
    assert kernels.compiled() is not None
    assert sums._eight_sums(*fields[:3]) == sums.plain_sums(*fields[:3])
    for count in (4, 5):
        assert sums._reference_sums(*fields[:count]) == plain_reference_sums(*fields[:count])


def test_the_bits_are_those_of_numpy_for_200_random_shapes():
    for seed, grid in enumerate(shapes()):
        require_equal((*random_triple(grid, seed), *random_triple(grid, seed + 1_000)[:2]))


def test_the_bits_are_those_of_numpy_for_any_finite_values():
    for seed, grid in enumerate(list(shapes())[::8]):
        require_equal(tuple(wild(grid, 10 * seed + number) for number in range(5)))


def test_the_bits_are_those_of_numpy_on_the_quarter_degree_grid():
    require_equal((*random_triple(QUARTER_DEGREE, 1), *random_triple(QUARTER_DEGREE, 2)[:2]))


def test_without_numba_the_sums_are_the_same():
    script = (
        "import sys; sys.modules['numba'] = None\n"
        "from tests.unit.weather.toy import *; from weather.sums import *; from weather import kernels\n"
        "fields = random_triple(SMALL_GLOBE, 7); assert kernels.compiled() is None\n"
        "print(field_sums(*fields), reference_sums(*fields, fields[:1]))"
    )
    plain = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, text=True).stdout
    fields = random_triple(SMALL_GLOBE, 7)
    assert plain == f"{sums.field_sums(*fields)} {sums.reference_sums(*fields, fields[:1])}\n"
