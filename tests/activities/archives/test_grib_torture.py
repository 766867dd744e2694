from __future__ import annotations

import random
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from adapters.child import Child
from adapters.grib_decoder import DecodedMessage, GribDecoder, values_on
from tests.activities.archives.real_files import (
    COARSE,
    ONE,
    QUARTER,
    T500,
    CoarseFile,
    encoded,
    framed,
    one_field,
    plan_of,
)
from tests.samples import sample_path
from weather.faults import SourceCorrupt
from weather.grids import Grid

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
    assert one_field(decoder, sample_path(T500[0]).read_bytes()).keys["shortName"] == "t"


def _own_grid(field: DecodedMessage) -> Grid:
    """A global grid of the shape of the field, or any grid where it has none."""
    rows, columns = field.keys["Nj"], field.keys["Ni"]
    if field.keys["gridType"] != "regular_ll" or field.keys["alternativeRowScanning"]:
        return ONE
    return Grid("own", 90_000_000, -180_000_000 // (rows - 1), rows, 0, 360_000_000 // columns, columns)


def test_a_field_that_scans_north_is_turned(decoder: GribDecoder) -> None:
    decoded = one_field(decoder, sample_path("grib_edge/scanning_mode_64.grib").read_bytes())
    grid = _own_grid(decoded)
    assert np.array_equal(values_on(decoded, grid), decoded.values.reshape(grid.shape)[::-1])


def test_a_constant_field_is_refused_as_input(decoder: GribDecoder) -> None:
    constant = encoded(sample_path("grib_edge/gfs_constant_field_210bytes.grib2").read_bytes())
    field = one_field(decoder, constant)
    renamed = encoded(
        constant,
        parameterCategory=1,
        parameterNumber=0,
        scaleFactorOfFirstFixedSurface=0,
        scaledValueOfFirstFixedSurface=50000,
    )
    raw = framed(renamed, (("q", 500),))
    cycle = datetime(2023, 1, 4, 18, tzinfo=UTC)
    assert field.validity == cycle + timedelta(hours=186)
    with pytest.raises(SourceCorrupt, match="constant"):
        decoder.decode([raw], plan_of(raw, cycle=cycle, lead_hours=186), QUARTER)


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
        raw = replace(framed(messages[number % 2], wanted, len(wanted)), data=mutant)
        try:
            fields = decoder.decode([raw], plan_of(raw), COARSE)
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
    pool = Child("tests.activities.hostile:decode_or_misbehave", memory_mib=512, wall_seconds=5, cpu_seconds=2)
    with pool:
        decoder = GribDecoder(pool)
        with pytest.raises(SourceCorrupt, match="decode"):
            decoder.decode_any(hostile)
        assert (
            one_field(decoder, sample_path("gfs/test_NOAAS3_HRES-GFS_10u_20210509T06_S00.grib").read_bytes()).keys[
                "level"
            ]
            == 10
        )


def test_a_broken_installation_is_not_the_sources_fault(tmp_path: Path) -> None:
    with Child("adapters.no_such_module:decode", memory_mib=256, wall_seconds=1, cpu_seconds=1) as pool:
        data = b"GRIB\0\0\0\2" + (20).to_bytes(8, "big") + b"7777"
        with pytest.raises(Exception, match="ModuleNotFoundError") as raised:
            GribDecoder(pool).decode_any(data)
    assert not isinstance(raised.value, SourceCorrupt)
