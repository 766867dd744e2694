"""GFS index and GRIB messages: a source's bytes are no better guarded on their way than a miner's."""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import eccodes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters import grib_child
from adapters.archive_server.gfs_files import Channel, encode
from adapters.gfs_archive import RawMessage
from adapters.gfs_index import PlannedMessage, RangePlan, index_key, parse_index, plan_messages
from adapters.grib_decoder import GribDecoder
from adapters.grib_messages import cut_messages
from tests.fuzz.mutations import changed_bytes
from tests.fuzz.profiles import bounded
from weather.faults import CycleNotYetAvailable, SourceCorrupt
from weather.fields import Field
from weather.grids import Grid

CYCLE, LEAD = datetime(2026, 11, 22, 18, tzinfo=UTC), 6
GRID = Grid("coarse", 90_000_000, -30_000_000, 7, 0, 30_000_000, 12)
T500 = ("t", 500)
WANTED = {index_key(channel, LEAD): channel for channel in [T500, ("2t", 0)]}
INDEX = b"".join(
    b"%d:%d:d=2026112218:%s:%s:6 hour fcst:\n" % (number, 1_000 * number, name, level)
    for number, (name, level) in enumerate(
        [(b"TMP", b"500 mb"), (b"UGRD", b"500 mb"), (b"TMP", b"2 m above ground")], 1
    )
)
HOSTILE_LINES = [
    b"1:" + b"9" * 5_000 + b":d=2026112218:TMP:500 mb:6 hour fcst:",
    b"1:0:d=2026112218:" + b"x" * 100_000 + b":500 mb:anl:",
    b"1.1.1:0:d=2026112218:TMP:500 mb:anl:",
    b"1:0:d=2026112218:TMP:500 mb:anl",
    b"1:-5:d=2026112218:TMP:500 mb:anl:",
    b":" * 100_000,
    b"\x1c\x1d\x85",
    b"\xff\xfe",
    b"1:0:d=2026112218:TMP:500 mb:anl:\n" * 2,
    b"1:0:d=2026112218:" + b"a:" * 50_000,
]


def message(bits: int = 12) -> bytes:
    values = 250 + 20 * np.sin(np.arange(84).reshape(GRID.shape) / 7)
    field = Field.of(GRID, "t", 500, CYCLE + timedelta(hours=LEAD), values)
    return encode(field, Channel("TMP", "500 mb", "t", "isobaricInhPa", 500, T500), CYCLE, bits)


GOOD = message()
SHORTEST = b"GRIB" + b"\0\0\x14\x01" + bytes(8) + b"7777"
HOSTILE_GRIB = {
    "nothing but zeros": bytes(3_000_000),
    "150,000 messages of nothing": SHORTEST * 150_000,
    "the same, padded": (SHORTEST + b"\0") * 150_000,
    "a message that says 2^63 bytes": GOOD[:8] + b"\x7f" + b"\xff" * 7 + GOOD[16:],
    "edition 1 of 16 MB": b"GRIB\xff\xff\xff\x01" + GOOD[8:],
    "edition 0": b"GRIB\0\0\x14\0" + bytes(8) + b"7777",
}


@pytest.fixture(scope="module")
def decoder() -> Iterator[GribDecoder]:
    decoder = GribDecoder()
    yield decoder
    decoder.close()


def planned(data: bytes) -> tuple[list[RawMessage], RangePlan]:
    one = PlannedMessage(0, len(data), 1, (T500,))
    return [RawMessage(one, data, "http://archive.test/file")], RangePlan(CYCLE, LEAD, "file", 0, (T500,), (one,))


def plan(data: bytes, file_bytes: int) -> list[PlannedMessage] | None:
    try:
        return plan_messages(parse_index(data, CYCLE), WANTED, file_bytes)
    except (SourceCorrupt, CycleNotYetAvailable) as fault:
        assert "\0" not in str(fault) and len(str(fault)) < 4_000
        return None


@bounded(300)
@given(data=changed_bytes(INDEX) | st.binary(max_size=100), file_bytes=st.integers(0, 2**63))
def test_an_index_plans_messages_inside_the_file_or_is_refused(data: bytes, file_bytes: int) -> None:
    for one in plan(data, file_bytes) or []:
        assert 0 <= one.offset < one.end <= file_bytes


@pytest.mark.parametrize("line", HOSTILE_LINES)
def test_a_hostile_index_is_refused(line: bytes) -> None:
    assert plan(line, 10_000) is None
    assert plan(INDEX + line, 10_000) is None


@bounded(200)
@given(data=changed_bytes(GOOD) | changed_bytes(SHORTEST * 3), padded=st.booleans())
def test_messages_cut_from_any_bytes_are_framed(data: bytes, padded: bool) -> None:
    try:
        messages = cut_messages(data, padded=padded)
    except SourceCorrupt:
        return
    assert all(one[:4] == b"GRIB" and one[-4:] == b"7777" for one in messages)
    assert padded or b"".join(messages) == data


@pytest.mark.parametrize("name", HOSTILE_GRIB)
@pytest.mark.parametrize("padded", [False, True])
def test_hostile_framing_takes_no_time(name: str, padded: bool) -> None:
    started = time.monotonic()
    with suppress(SourceCorrupt):
        cut_messages(HOSTILE_GRIB[name], padded=padded)
    assert time.monotonic() - started < 2


@bounded(20)
@given(data=st.data())
def test_a_changed_message_is_the_field_or_the_fault_of_its_source(decoder: GribDecoder, data: st.DataObject) -> None:
    body = bytearray(data.draw(changed_bytes(GOOD[16:])))
    body[:0] = GOOD[:8] + struct.pack(">Q", 16 + len(body))  # a frame that holds, so that the decoder sees the rest
    body[-4:] = b"7777"
    try:
        (field,) = decoder.decode(*planned(bytes(body)), GRID)
    except SourceCorrupt as fault:
        assert len(str(fault)) < 4_000
        return
    assert np.isfinite(field.values).all()


def test_the_honest_message_is_read(decoder: GribDecoder) -> None:
    (field,) = decoder.decode(*planned(GOOD), GRID)
    assert field.short_name == "t500" and plan(INDEX, 10_000) is not None


def test_a_refused_message_leaves_nothing_to_the_next(decoder: GribDecoder) -> None:
    spoiling = bytearray(GOOD)
    spoiling[143] = 52
    with pytest.raises(SourceCorrupt):
        decoder.decode(*planned(bytes(spoiling)), GRID)
    assert len(decoder.decode(*planned(GOOD), GRID)) == 1
    alone = grib_child.decode(GOOD)
    with pytest.raises(grib_child.Spoiled):
        grib_child.decode(bytes(spoiling))
    assert grib_child.decode(GOOD) == alone
    eccodes.codes_grib_multi_support_off()
