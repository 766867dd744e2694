from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import eccodes
import numpy as np
import pytest

from adapters.child import ChildPool
from adapters.gfs_archive import RawMessage
from adapters.gfs_index import Channel, PlannedMessage, RangePlan
from adapters.grib_decoder import STANDARD_GRAVITY, DecodedMessage, GribDecoder, values_on
from adapters.grib_messages import cut_messages
from tests.samples import sample_path
from weather.faults import SourceCorrupt
from weather.fields import Field
from weather.grids import Grid

QUARTER = Grid("0p25", 90_000_000, -250_000, 721, 0, 250_000, 1440)
ONE = Grid("1p0", 90_000_000, -1_000_000, 181, 0, 1_000_000, 360)
COARSE = Grid("2p5", 90_000_000, -2_500_000, 73, 0, 2_500_000, 144)
ATLANTIC = Grid("atlantic", 80_000_000, -10_000_000, 7, 290_000_000, 10_000_000, 12)
CYCLE = datetime(2011, 1, 10, 12, tzinfo=UTC)
T500 = [
    "pairs/persist_t500_aifs_20260310/t500_20260310T00_aifs-ens-cf_f000.grib2",
    "pairs/persist_t500_aifs_20260310/t500_20260310T12_aifs-single_f000.grib2",
]


@pytest.fixture(scope="module")
def decoder() -> Iterator[GribDecoder]:
    decoder = GribDecoder.start(timeout_seconds=3)
    yield decoder
    decoder.close()


@dataclass(frozen=True)
class CoarseFile:
    """The 2.5° file: its messages, and which of them and which field stands under (name, level, type of level)."""

    messages: list[bytes]
    fields: list[DecodedMessage]
    message_of: dict[tuple[str, int, str], bytes]

    def message(self, name: str, level: int, kind: str = "isobaricInhPa") -> bytes:
        return self.message_of[name, level, kind]


@pytest.fixture(scope="module")
def coarse(decoder: GribDecoder) -> CoarseFile:
    messages = cut_messages(sample_path("gfs/gfs_20110110T12_f120_2p5.grib2").read_bytes())
    held = [(field, message) for message in messages for field in decoder.decode_any(message)]
    message_of = {(field.short_name, field.level, field.type_of_level): message for field, message in held}
    return CoarseFile(messages, [field for field, _ in held], message_of)


def _raw(data: bytes, channels: tuple[Channel, ...], fields: int = 1) -> RawMessage:
    return RawMessage(PlannedMessage(0, len(data), fields, channels), data, "http://archive.test/file")


def _plan(*messages: RawMessage, cycle: datetime = CYCLE, lead_hours: int = 120) -> RangePlan:
    channels = tuple(channel for message in messages for channel in message.planned.channels)
    return RangePlan(cycle, lead_hours, "file", 0, channels, tuple(message.planned for message in messages))


def _encoded(template: bytes, values: np.ndarray | None = None, **keys: str | float) -> bytes:
    """The template with other keys, then with other values."""
    handle = eccodes.codes_new_from_message(template)
    try:
        for name, value in keys.items():
            eccodes.codes_set(handle, name, value)
        if values is not None:
            eccodes.codes_set_values(handle, values.ravel())
        return eccodes.codes_get_message(handle)
    finally:
        eccodes.codes_release(handle)


def _one(decoder: GribDecoder, data: bytes) -> DecodedMessage:
    (decoded,) = decoder.decode_any(data)
    return decoded


def _find(fields: list[DecodedMessage], name: str, level: int, kind: str = "isobaricInhPa") -> DecodedMessage:
    (found,) = [
        field for field in fields if (field.short_name, field.level, field.type_of_level) == (name, level, kind)
    ]
    return found


def test_a_real_file_holds_343_fields_in_307_messages(coarse: CoarseFile) -> None:
    names = [field.short_name for field in coarse.fields]
    assert (len(coarse.messages), len(coarse.fields)) == (307, 343)
    assert (names.count("v"), names.count("10v")) == (35, 1)


def test_without_multi_field_support_every_v_wind_would_vanish_in_silence() -> None:
    eccodes.codes_grib_multi_support_off()
    names = []
    with sample_path("gfs/gfs_20110110T12_f120_2p5.grib2").open("rb") as file:
        while (handle := eccodes.codes_grib_new_from_file(file)) is not None:
            names.append(eccodes.codes_get(handle, "shortName"))
            eccodes.codes_release(handle)
    assert (len(names), names.count("v"), names.count("10v")) == (307, 0, 0)


def test_both_winds_of_one_message_are_proved(decoder: GribDecoder, coarse: CoarseFile) -> None:
    raw = _raw(coarse.message("u", 500), (("u", 500), ("v", 500)), fields=2)
    u, v = decoder.decode([raw], _plan(raw), COARSE)
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
    raw = _raw(coarse.message("u", 500), channels, fields)
    with pytest.raises(SourceCorrupt, match=says):
        decoder.decode([raw], _plan(raw), COARSE)


@pytest.mark.parametrize(("cycle", "lead_hours"), [(CYCLE, 126), (CYCLE + timedelta(hours=6), 120), (CYCLE, 114)])
def test_a_message_of_another_time_or_step_is_refused(
    decoder: GribDecoder, coarse: CoarseFile, cycle: datetime, lead_hours: int
) -> None:
    raw = _raw(coarse.message("t", 500), (("t", 500),))
    with pytest.raises(SourceCorrupt, match="not hold the channel once"):
        decoder.decode([raw], _plan(raw, cycle=cycle, lead_hours=lead_hours), COARSE)


def test_geopotential_is_height_times_gravity_in_float64_rounded_once(decoder: GribDecoder, coarse: CoarseFile) -> None:
    raw = _raw(coarse.message("gh", 500), (("z", 500),))
    (z,) = decoder.decode([raw], _plan(raw), COARSE)
    height = _find(coarse.fields, "gh", 500).values.reshape(COARSE.shape)
    assert np.array_equal(z.values, (height * 9.80665).astype(np.float32))
    assert not np.array_equal(z.values, height.astype(np.float32) * np.float32(STANDARD_GRAVITY))


def test_prmsl_is_renamed_and_mslet_is_not_taken_for_it(decoder: GribDecoder, coarse: CoarseFile) -> None:
    prmsl = coarse.message("prmsl", 0, "meanSea")
    raw = _raw(prmsl, (("msl", 0),))
    (msl,) = decoder.decode([raw], _plan(raw), COARSE)
    assert (msl.variable, msl.unit) == ("msl", "Pa")
    mslet = _encoded(prmsl, parameterNumber=192)
    assert _one(decoder, mslet).short_name == "mslet"
    with pytest.raises(SourceCorrupt, match="mslet"):
        decoder.decode([_raw(mslet, (("msl", 0),))], _plan(raw), COARSE)


def test_two_hectopascal_is_not_two_metres(decoder: GribDecoder, coarse: CoarseFile) -> None:
    high = _encoded(coarse.message("t", 10), level=2)
    raw = _raw(high, (("2t", 0),))
    with pytest.raises(SourceCorrupt, match="isobaricInhPa"):
        decoder.decode([raw], _plan(raw), COARSE)


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
    changed = _encoded(message, change(_one(decoder, message).values), packingType="grid_ieee")
    raw = _raw(changed, (("t", 500),))
    with pytest.raises(SourceCorrupt, match=says):
        decoder.decode([raw], _plan(raw), COARSE)


def test_another_grid_is_refused_as_input_and_accepted_by_the_decoder(decoder: GribDecoder) -> None:
    fields = decoder.decode_any(sample_path("era5/era5_t_z_500_850_20070101T12_1deg.grib").read_bytes())
    z500 = _find(fields, "z", 500)
    assert (round(z500.values.min(), 1), round(z500.values.max(), 1)) == (46_500.9, 58_345.6)
    assert values_on(z500, ONE).shape == (181, 360)
    with pytest.raises(SourceCorrupt, match="another shape"):
        values_on(z500, COARSE)


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
    decoded = _one(decoder, sample_path(name).read_bytes())
    assert decoded.keys["longitudeOfFirstGridPointInDegrees"] == 180.0
    assert Field.of(QUARTER, "t", 500, decoded.validity, values_on(decoded, QUARTER)).digest == digest


def _errors(forecast: np.ndarray, truth: np.ndarray, grid: Grid) -> tuple[float, float, float]:
    """RMSE, bias and MAE by cell areas of float32 fields."""
    difference = forecast.astype(np.float32).astype(np.float64) - truth.astype(np.float32).astype(np.float64)
    weights = np.broadcast_to(grid.row_weights[:, None], grid.shape)
    mean = [float(np.average(value, weights=weights)) for value in (difference**2, difference, np.abs(difference))]
    return mean[0] ** 0.5, mean[1], mean[2]


def test_the_real_t500_pair_gives_the_numbers_of_the_scores(decoder: GribDecoder) -> None:
    earlier, later = (values_on(_one(decoder, sample_path(name).read_bytes()), QUARTER) for name in T500)
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
            (field.validity, field.level): values_on(field, ATLANTIC)
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
    expected = values_on(_one(decoder, template), ONE)
    rolled = np.roll(expected, -origin, axis=1)
    keys = {
        "edition": edition,
        "longitudeOfFirstGridPointInDegrees": origin,
        "longitudeOfLastGridPointInDegrees": origin + 359 if origin <= 0 else origin - 1,
        "jScansPositively": int(northward),
        "latitudeOfFirstGridPointInDegrees": -90 if northward else 90,
        "latitudeOfLastGridPointInDegrees": 90 if northward else -90,
    }
    decoded = _one(decoder, _encoded(template, rolled[::-1] if northward else rolled, **keys))
    assert np.array_equal(values_on(decoded, ONE), expected)


PACKINGS = [
    *((packing, bits) for packing in ("grid_simple", "grid_complex", "grid_ccsds") for bits in (12, 16)),
    *(("grid_complex_spatial_differencing", bits) for bits in (12, 16)),
    ("grid_ieee", 32),
]


@pytest.fixture(scope="module")
def quantised(decoder: GribDecoder) -> np.ndarray:
    """The real T500 in steps of 2^-6 K."""
    return np.rint(_one(decoder, sample_path(T500[0]).read_bytes()).values * 64) / 64


@pytest.mark.parametrize(("packing", "bits"), PACKINGS)
def test_a_quantised_field_has_one_digest_in_every_packing(
    decoder: GribDecoder, quantised: np.ndarray, packing: str, bits: int
) -> None:
    keys = {"packingType": packing} | ({"bitsPerValue": bits} if packing != "grid_ieee" else {})
    decoded = _one(decoder, _encoded(sample_path(T500[0]).read_bytes(), quantised, **keys))
    assert decoded.keys["packingType"] == packing
    assert np.array_equal(decoded.values, quantised)


EDGE: dict[str, tuple[str, str]] = {
    "grib_edge/era5-levels-corrupted.grib": ("refused", "GRIB message (has the wrong length|does not end)"),
    "grib_edge/alternate-scanning.grib": ("refused", "rows of a regular grid"),
    "grib_edge/reduced_gg.grib": ("refused", "rows of a regular grid.*reduced_gg"),
    "grib_edge/regular_ll_wrong_increment.grib": ("refused", "contradict themselves"),
    "grib_edge/fields_with_missing_values.grib": ("refused", "missing values; found 10808"),
    "gfs/gfs.t12z.pgrb2.0p25.f023-PV-TMP-missing.grib2": ("refused", "missing values; found 409080"),
    "grib_edge/scanning_mode_64.grib": ("accepted", ""),
    "grib_edge/gfs_constant_field_210bytes.grib2": ("accepted", ""),
}


@pytest.mark.parametrize("name", EDGE)
def test_a_torture_file_has_the_outcome_that_is_written(decoder: GribDecoder, name: str) -> None:
    outcome, says = EDGE[name]
    data, started = sample_path(name).read_bytes(), time.monotonic()
    if outcome == "accepted":
        assert all(np.isfinite(values_on(field, _own_grid(field))).all() for field in decoder.decode_any(data))
    else:
        with pytest.raises(SourceCorrupt, match=says):
            for field in decoder.decode_any(data):
                values_on(field, _own_grid(field))
    assert time.monotonic() - started < 10
    assert _one(decoder, sample_path(T500[0]).read_bytes()).short_name == "t"


def _own_grid(field: DecodedMessage) -> Grid:
    """A global grid of the shape of the field, or any grid where it has none."""
    rows, columns = field.keys["Nj"], field.keys["Ni"]
    if field.keys["gridType"] != "regular_ll" or field.keys["alternativeRowScanning"]:
        return ONE
    return Grid("own", 90_000_000, -180_000_000 // (rows - 1), rows, 0, 360_000_000 // columns, columns)


def test_a_field_that_scans_north_is_turned(decoder: GribDecoder) -> None:
    decoded = _one(decoder, sample_path("grib_edge/scanning_mode_64.grib").read_bytes())
    grid = _own_grid(decoded)
    assert np.array_equal(values_on(decoded, grid), decoded.values.reshape(grid.shape)[::-1])


def test_a_constant_field_is_refused_as_input(decoder: GribDecoder) -> None:
    constant = _encoded(sample_path("grib_edge/gfs_constant_field_210bytes.grib2").read_bytes())
    field = _one(decoder, constant)
    renamed = _encoded(
        constant,
        parameterCategory=1,
        parameterNumber=0,
        scaleFactorOfFirstFixedSurface=0,
        scaledValueOfFirstFixedSurface=50000,
    )
    raw = _raw(renamed, (("q", 500),))
    cycle = datetime(2023, 1, 4, 18, tzinfo=UTC)
    assert field.validity == cycle + timedelta(hours=186)
    with pytest.raises(SourceCorrupt, match="constant"):
        decoder.decode([raw], _plan(raw, cycle=cycle, lead_hours=186), QUARTER)


def _mutants(messages: list[bytes], count: int) -> Iterator[bytes]:
    draw = random.Random(20110110)
    for number in range(count):
        message = bytearray(messages[number % len(messages)])
        kind = number // len(messages) % 4
        if kind == 0:
            yield bytes(message[: draw.randrange(len(message))])
        elif kind == 1:
            yield bytes(message[:8]) + draw.randbytes(8) + bytes(message[16:])
        else:
            where = (16, 200) if kind == 2 else (200, len(message) - 4)
            for _ in range(draw.choice((1, 1, 4, 30))):
                message[draw.randrange(*where)] = draw.randrange(256)
            yield bytes(message)


def test_150_mutated_messages_neither_crash_nor_hang_and_what_passes_is_proved(
    decoder: GribDecoder, coarse: CoarseFile
) -> None:
    messages = [coarse.message(*names) for names in (("u", 500), ("t", 500))]
    channels = (("u", 500), ("v", 500)), (("t", 500),)
    started, refused = time.monotonic(), 0
    for number, mutant in enumerate(_mutants(messages, 150)):
        wanted = channels[number % 2]
        raw = replace(_raw(messages[number % 2], wanted, len(wanted)), data=mutant)
        try:
            fields = decoder.decode([raw], _plan(raw), COARSE)
        except SourceCorrupt:
            refused += 1
        else:
            assert all(np.isfinite(field.values).all() and np.ptp(field.values) > 0 for field in fields)
            assert [field.short_name for field in fields] == [f"{name}{level}" for name, level in wanted]
    assert 75 <= refused < 150
    assert time.monotonic() - started < 60


@pytest.mark.parametrize("order", ["allocate 2000000000", "loop", "sleep", "abort"])
def test_a_child_that_takes_too_much_is_the_sources_fault_and_the_next_message_decodes(order: str) -> None:
    body = order.encode().ljust(32, b"\0")
    hostile = b"GRIB\0\0\0\2" + (20 + len(body)).to_bytes(8, "big") + body + b"7777"
    pool = ChildPool("tests.activities.hostile:decode_or_misbehave", memory_mib=512, wall_seconds=1, cpu_seconds=1)
    with pool:
        decoder = GribDecoder(pool)
        with pytest.raises(SourceCorrupt, match="decode"):
            decoder.decode_any(hostile)
        assert _one(decoder, sample_path("gfs/test_NOAAS3_HRES-GFS_10u_20210509T06_S00.grib").read_bytes()).level == 10


def test_a_broken_installation_is_not_the_sources_fault(tmp_path: Path) -> None:
    with ChildPool("adapters.no_such_module:decode", memory_mib=256, wall_seconds=1, cpu_seconds=1) as pool:
        data = b"GRIB\0\0\0\2" + (20).to_bytes(8, "big") + b"7777"
        with pytest.raises(Exception, match="ModuleNotFoundError") as raised:
            GribDecoder(pool).decode_any(data)
    assert not isinstance(raised.value, SourceCorrupt)
