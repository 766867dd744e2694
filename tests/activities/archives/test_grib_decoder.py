from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import eccodes
import numpy as np
import pytest

from adapters.gfs_index import Channel
from adapters.grib_decoder import STANDARD_GRAVITY, GribDecoder, values_on
from tests.activities.archives.real_files import (
    COARSE,
    CYCLE,
    GFS_2P5,
    ONE,
    CoarseFile,
    encoded,
    find_field,
    framed,
    one_field,
    plan_of,
)
from tests.samples import sample_path
from weather.faults import SourceCorrupt


def test_a_real_file_holds_343_fields_in_307_messages(coarse: CoarseFile) -> None:
    names = [field.keys["shortName"] for field in coarse.fields]
    assert (len(coarse.messages), len(coarse.fields)) == (307, 343)
    assert (names.count("v"), names.count("10v")) == (35, 1)


def test_without_multi_field_support_every_v_wind_would_vanish_in_silence() -> None:
    eccodes.codes_grib_multi_support_off()
    names = []
    with sample_path(GFS_2P5).open("rb") as file:
        while (handle := eccodes.codes_grib_new_from_file(file)) is not None:
            names.append(eccodes.codes_get(handle, "shortName"))
            eccodes.codes_release(handle)
    assert (len(names), names.count("v"), names.count("10v")) == (307, 0, 0)


def test_both_winds_of_one_message_are_proved(decoder: GribDecoder, coarse: CoarseFile) -> None:
    raw = framed(coarse.message("u", 500), (("u", 500), ("v", 500)), fields=2)
    u, v = decoder.decode([raw], plan_of(raw), COARSE)
    assert (u.short_name, v.short_name, u.unit) == ("u500", "v500", "m s-1")
    assert u.valid_time == v.valid_time == CYCLE + timedelta(hours=120)
    assert u.digest != v.digest


@pytest.mark.parametrize(
    ("channels", "fields", "says"),
    [
        ((("u", 500),), 1, "other fields; found 2; expected 1"),
        ((("u", 500), ("t", 500)), 2, "not hold the channel once"),
        ((("u", 850),), 2, "not hold the channel once"),
        ((("10u", 0),), 2, "not hold the channel once"),
    ],
)
def test_a_message_that_holds_other_fields_than_planned_is_refused(
    decoder: GribDecoder, coarse: CoarseFile, channels: tuple[Channel, ...], fields: int, says: str
) -> None:
    raw = framed(coarse.message("u", 500), channels, fields)
    with pytest.raises(SourceCorrupt, match=says):
        decoder.decode([raw], plan_of(raw), COARSE)


@pytest.mark.parametrize(("cycle", "lead_hours"), [(CYCLE, 126), (CYCLE + timedelta(hours=6), 120), (CYCLE, 114)])
def test_a_message_of_another_time_or_step_is_refused(
    decoder: GribDecoder, coarse: CoarseFile, cycle: datetime, lead_hours: int
) -> None:
    raw = framed(coarse.message("t", 500), (("t", 500),))
    with pytest.raises(SourceCorrupt, match="not hold the channel once"):
        decoder.decode([raw], plan_of(raw, cycle=cycle, lead_hours=lead_hours), COARSE)


def test_geopotential_is_height_times_gravity_in_float64_rounded_once(decoder: GribDecoder, coarse: CoarseFile) -> None:
    raw = framed(coarse.message("gh", 500), (("z", 500),))
    (z,) = decoder.decode([raw], plan_of(raw), COARSE)
    height = find_field(coarse.fields, "gh", 500).values.reshape(COARSE.shape)
    assert np.array_equal(z.values, (height * 9.80665).astype(np.float32))
    assert not np.array_equal(z.values, height.astype(np.float32) * np.float32(STANDARD_GRAVITY))


def test_prmsl_is_renamed_and_mslet_is_not_taken_for_it(decoder: GribDecoder, coarse: CoarseFile) -> None:
    prmsl = coarse.message("prmsl", 0, "meanSea")
    raw = framed(prmsl, (("msl", 0),))
    (msl,) = decoder.decode([raw], plan_of(raw), COARSE)
    assert (msl.variable, msl.unit) == ("msl", "Pa")
    mslet = encoded(prmsl, parameterNumber=192)
    assert one_field(decoder, mslet).keys["shortName"] == "mslet"
    with pytest.raises(SourceCorrupt, match="mslet"):
        decoder.decode([framed(mslet, (("msl", 0),))], plan_of(raw), COARSE)


def test_two_hectopascal_is_not_two_metres(decoder: GribDecoder, coarse: CoarseFile) -> None:
    high = encoded(coarse.message("t", 10), level=2)
    raw = framed(high, (("2t", 0),))
    with pytest.raises(SourceCorrupt, match="isobaricInhPa"):
        decoder.decode([raw], plan_of(raw), COARSE)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda values: np.where(values == values.max(), 400.0, values), "out of bounds.*190.0…290.0 K"),
        (lambda values: values * 0 + 250.0, "constant"),
        (lambda values: values - 273.15, "out of bounds"),
    ],
)
def test_values_outside_the_bounds_or_without_spread_are_refused(
    decoder: GribDecoder, coarse: CoarseFile, change: Callable[[np.ndarray], np.ndarray], says: str
) -> None:
    message = coarse.message("t", 500)
    changed = encoded(message, change(one_field(decoder, message).values), packingType="grid_ieee")
    raw = framed(changed, (("t", 500),))
    with pytest.raises(SourceCorrupt, match=says):
        decoder.decode([raw], plan_of(raw), COARSE)


def test_another_grid_is_refused_as_input_and_accepted_by_the_decoder(decoder: GribDecoder) -> None:
    fields = decoder.decode_any(sample_path("era5/era5_t_z_500_850_20070101T12_1deg.grib").read_bytes())
    z500 = find_field(fields, "z", 500)
    assert (round(z500.values.min(), 1), round(z500.values.max(), 1)) == (46_500.9, 58_345.6)
    assert values_on(z500, ONE).shape == (181, 360)
    with pytest.raises(SourceCorrupt, match="another shape"):
        values_on(z500, COARSE)
