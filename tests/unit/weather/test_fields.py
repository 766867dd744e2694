"""Canonical fields, their bounds and sets."""

from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from tests.unit.weather.toy import P1, QUARTER_DEGREE, TOY, VALID_TIME, ZERO, Q, toy_field
from weather.field_sets import FieldEntry, field_set_document, set_digest
from weather.fields import Field, short_name
from weather.sums import field_sums
from weather.variables import LEVELS, VARIABLES, bounds

TOY_VALUES = arrays.arrays(np.float32, (3, 4), elements=st.floats(-1e6, 1e6, width=32))


def test_the_golden_truth_field_and_its_set_have_their_digests():
    truth = toy_field(Q)
    document = field_set_document("truth", "era5", "toy", [truth])
    assert truth.digest == "ec483419c812119dfb9422f13ff2c3af1dd49a100a68d89b02cd7e0272f849ad"
    assert len(document) == 257
    assert set_digest(document) == "faabe7cf206e2871f40b40792e04730454d071ad574f1db1d7e947ca61f7a1ad"


@given(TOY_VALUES)
def test_a_digest_ignores_layout_in_memory_byte_order_and_the_sign_of_zero(values):
    negative_zeros = np.where(values == 0, np.float32(-0.0), values)
    same = (values, np.asfortranarray(values), values.astype(">f4"), negative_zeros, values.astype(np.float64))
    assert len({Field.of(TOY, "2t", 0, VALID_TIME, each).digest for each in same}) == 1


def test_a_field_is_immutable_and_apart_from_the_array_it_was_made_of():
    source = np.full((3, 4), -0.0, dtype=np.float32)
    field = Field.of(TOY, "10u", 0, VALID_TIME, source)
    source[:] = 7
    assert not np.signbit(field.values).any()
    assert field.values.max() == 0
    with pytest.raises(ValueError, match="read-only"):
        field.values[0, 0] = 1


def test_a_set_is_sorted_by_time_variable_and_level_whatever_the_order_given():
    fields = [toy_field(ZERO, "z", 850), toy_field(ZERO, "2t"), toy_field(ZERO, "z", 500), toy_field(ZERO, "t", 500)]
    later = Field.of(TOY, "2t", 0, VALID_TIME + timedelta(hours=6), ZERO)
    document = field_set_document("forecast", "gfs", "toy", [later, *fields])
    assert document == field_set_document("forecast", "gfs", "toy", [*reversed(fields), FieldEntry.of(later)])
    with pytest.raises(ValueError, match="twice"):
        field_set_document("forecast", "gfs", "toy", [fields[0], fields[0]])


@pytest.mark.parametrize("shape", [(720, 1440), (721, 1441), (1440, 721)])
def test_fields_of_720_rows_or_1441_columns_are_refused(shape):
    with pytest.raises(ValueError, match="shape"):
        Field.of(QUARTER_DEGREE, "2t", 0, VALID_TIME, np.zeros(shape, dtype=np.float32))


@pytest.mark.parametrize(
    "other",
    [
        toy_field(Q, "10u"),
        toy_field(Q, "t", 500),
        Field.of(TOY, "2t", 0, VALID_TIME + timedelta(hours=1), Q),
        Field.of(type(TOY)("other", 60_000_000, -60_000_000, 3, 0, 90_000_000, 4), "2t", 0, VALID_TIME, Q),
        Field(TOY, "2t", 0, VALID_TIME, "degC", toy_field(Q).values),
    ],
    ids=["variable", "level", "valid time", "grid", "unit"],
)
def test_fields_of_different_identity_are_not_compared_even_where_arithmetic_would_fail(other):
    hollow = toy_field(np.full((3, 4), np.nan))
    with pytest.raises(ValueError, match="cannot be compared"):
        field_sums(hollow, other, hollow)


@pytest.mark.parametrize(
    "when", [datetime(2026, 1, 1), datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=1)))], ids=["naive", "not UTC"]
)
def test_a_valid_time_that_is_not_aware_utc_is_refused(when):
    with pytest.raises(ValueError, match="UTC"):
        Field.of(TOY, "2t", 0, when, ZERO)
    assert Field.of(TOY, "2t", 0, when.replace(tzinfo=UTC), ZERO).unit == "K"


@pytest.mark.parametrize(("variable", "level"), [("2t", 500), ("t", 0), ("t", 501), ("sst", 0)])
def test_a_field_that_does_not_exist_is_refused(variable, level):
    with pytest.raises(ValueError, match=variable):
        toy_field(ZERO, variable, level)


def test_there_are_69_fields_with_names_and_ordered_bounds():
    places = [(name, level) for name, entry in VARIABLES.items() for level in (LEVELS if entry.has_levels else (0,))]
    assert len(places) == 69
    assert all(low < high for low, high in (bounds(*place) for place in places))
    assert [short_name(*place) for place in (("2t", 0), ("z", 500))] == ["2t", "z500"]
    assert bounds("u", 850) == (-80, 80)
    assert bounds("v", 500) == bounds("u", 700) == (-110, 110)
    assert bounds("u", 400) == (-150, 150)
    assert bounds("z", 500) == (44_000, 60_500)
    assert bounds("q", 50) == (-0.0005, 0.04)


def test_the_digest_of_a_field_is_computed_once() -> None:
    field = toy_field(P1)
    assert field.digest is field.digest
