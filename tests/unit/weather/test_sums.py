"""Sums: bits, order, merging, and what is not finite."""

from dataclasses import astuple
from math import fsum

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.weather.toy import P1, P2, S1, S2, SMALL_GLOBE, ZERO, Q, on_grid, random_triple, toy_field
from weather.faults import IncompleteForecast, SourceCorrupt
from weather.fields import Field
from weather.grids import Grid
from weather.sums import FieldSums, ReferenceSums, field_sums, merge, reference_sums


def naive_whole(grid: Grid, values: list[list[float]]) -> float:
    """Order four-rows/1 as a loop over scalars."""
    weights, columns = grid.row_weights.tolist(), [0.0] * grid.longitude_count
    whole = grid.latitude_count // 4 * 4
    for i in range(grid.longitude_count):
        for j in range(0, whole, 4):
            block = weights[j] * values[j][i] + weights[j + 1] * values[j + 1][i]
            block = (block + weights[j + 2] * values[j + 2][i]) + weights[j + 3] * values[j + 3][i]
            columns[i] = columns[i] + block
        for j in range(whole, grid.latitude_count):
            columns[i] = columns[i] + weights[j] * values[j][i]
    total = 0.0
    for column in columns:
        total = total + column
    return total


def naive_terms(forecast: Field, truth: Field, climatology: Field) -> list[list[list[float]]]:
    """The eight products cell by cell, D first."""
    lists = [field.values.astype(np.float64).ravel().tolist() for field in (forecast, truth, climatology)]
    flat = []
    for f, o, c in zip(*lists, strict=True):
        d, p, q = f - o, f - c, o - c
        flat.append((d, abs(d), d * d, p, q, p * p, q * q, p * q))
    return [np.reshape(term, forecast.grid.shape).tolist() for term in zip(*flat, strict=True)]


def naive_sums(*fields: Field) -> FieldSums:
    grid = fields[0].grid
    return FieldSums(grid.total_weight, *(naive_whole(grid, term) for term in naive_terms(*fields)))


def test_the_golden_sums_are_exact():
    first = field_sums(toy_field(P1), toy_field(Q), toy_field(ZERO))
    second = field_sums(toy_field(P2), toy_field(Q), toy_field(ZERO))
    assert astuple(first) == (1, 0.375, 0.625, 0.625, 0.625, 0.25, 2.125, 3, 2.25)
    assert astuple(second) == (1, 0.125, 0.875, 1.375, 0.375, 0.25, 1.375, 3, 1.5)


def test_the_golden_reference_sums_are_exact():
    truth, climatology, public = toy_field(Q), toy_field(ZERO), [toy_field(S1), toy_field(S2)]
    first = reference_sums(toy_field(P1), truth, climatology, public)
    assert astuple(first) == (1.375, 0.5, 3.25, 1.9375, 1.5, -0.125, 1.125)
    second = reference_sums(toy_field(P2), truth, climatology, public)
    assert astuple(second) == (1.375, 0.5, 3.25, 1.6875, 1.25, 0.75, 3.125)
    alone = reference_sums(toy_field(P1), truth, climatology, public[:1])
    assert alone.as_dict() == {"E2": 1.375, "S": 0.5, "S2": 3.25, "PS": 1.9375, "G_11": 1.5}
    with pytest.raises(ValueError, match="one or two"):
        reference_sums(toy_field(P1), truth, climatology, [])


@settings(max_examples=1000, deadline=None)
@given(st.integers(1, 11), st.integers(1, 7), st.integers(0, 2**32))
def test_sums_equal_a_loop_over_cells_in_every_bit_for_any_shape(rows, columns, seed):
    grid = Grid("odd", 80_000_000, -14_000_000, rows, 5_000_000, 40_000_000, columns)
    fields = random_triple(grid, seed)
    assert astuple(field_sums(*fields)) == astuple(naive_sums(*fields))


@pytest.mark.parametrize("seed", range(3))
def test_sums_equal_the_loop_on_the_small_globe(seed):
    fields = random_triple(SMALL_GLOBE, seed)
    assert astuple(field_sums(*fields)) == astuple(naive_sums(*fields))


def test_a_sum_is_never_minus_zero():
    assert not np.signbit(astuple(field_sums(toy_field(ZERO), toy_field(ZERO), toy_field(ZERO)))).any()


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32))
def test_any_permutation_of_300_leaves_merges_to_the_same_bits(seed):
    noise = np.random.default_rng(seed)
    numbers = noise.standard_normal((300, 9)) * 10.0 ** noise.integers(-30, 30, (300, 9))
    leaves = [FieldSums(*row) for row in numbers.tolist()]
    merged = merge(leaves)
    assert astuple(merged) == tuple(map(fsum, zip(*map(astuple, leaves), strict=True)))
    assert merge([leaves[k] for k in noise.permutation(300)]) == merged


def test_nothing_merges_to_nothing():
    with pytest.raises(ValueError, match="no sums"):
        merge([])


@pytest.mark.parametrize("damage", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("cell", [(0, 0), (2, 3), (1, 2)], ids=["first", "last", "middle"])
@pytest.mark.parametrize(
    ("part", "fault"), [(0, IncompleteForecast), (1, SourceCorrupt), (2, SourceCorrupt), (3, SourceCorrupt)]
)
def test_one_cell_that_is_not_finite_is_the_fault_of_its_owner(part, fault, cell, damage):
    inputs = [P1.copy(), Q.copy(), ZERO.copy(), S1.copy()]
    inputs[part][cell] = damage
    f, o, c, r = (toy_field(values) for values in inputs)
    with pytest.raises(fault) as raised:
        field_sums(f, o, c) if part < 3 else reference_sums(f, o, c, [r])
    assert raised.value.found == "1"
    with pytest.raises(fault):
        reference_sums(f, o, c, [r])


def test_the_greatest_finite_values_do_not_overflow():
    largest = np.full(SMALL_GLOBE.shape, np.finfo(np.float32).max)
    fields = [on_grid(SMALL_GLOBE, sign * largest) for sign in (1, -1, 0)]
    assert np.isfinite(astuple(field_sums(*fields))).all()


def test_sums_come_back_from_the_dictionary_of_a_fact():
    nine = field_sums(toy_field(P1), toy_field(Q), toy_field(ZERO))
    for public in ([toy_field(S1)], [toy_field(S1), toy_field(S2)]):
        more = reference_sums(toy_field(P1), toy_field(Q), toy_field(ZERO), public)
        fact = nine.as_dict() | more.as_dict()
        assert FieldSums.from_dict(fact) == nine
        assert ReferenceSums.from_dict(fact) == more
