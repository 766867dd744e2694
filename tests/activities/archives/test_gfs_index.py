from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from adapters.gfs_index import (
    Channel,
    PlannedMessage,
    RangePlan,
    gfs_path,
    index_key,
    parse_index,
    plan_messages,
)
from tests.samples import sample_path
from weather.faults import CycleNotYetAvailable, SourceCorrupt
from weather.variables import LEVELS, VARIABLES

CYCLE = datetime(2025, 8, 1, tzinfo=UTC)
CHANNELS: list[Channel] = [
    (name, level) for name, variable in VARIABLES.items() for level in (LEVELS if variable.has_levels else (0,))
]
DAY_1: list[Channel] = [("2t", 0), ("10u", 0), ("10v", 0), ("msl", 0), ("z", 500)]
FILE_BYTES = 600_000_000


def plan(data: bytes, lead_hours: int = 0, channels: list[Channel] = CHANNELS, cycle: datetime = CYCLE) -> RangePlan:
    wanted = {index_key(channel, lead_hours): channel for channel in channels}
    messages = plan_messages(parse_index(data, cycle), wanted, FILE_BYTES)
    path = gfs_path("pgrb2.0p25", cycle, lead_hours)
    return RangePlan(cycle, lead_hours, path, FILE_BYTES, tuple(channels), tuple(messages))


@pytest.mark.parametrize(
    ("lead_hours", "channels", "ranges", "size_bytes"),
    [(0, CHANNELS, 43, 60_749_167), (7, CHANNELS, 43, 60_372_271), (0, DAY_1, 4, 4_080_233)],
)
def test_a_real_index_gives_the_exact_ranges(
    lead_hours: int, channels: list[Channel], ranges: int, size_bytes: int
) -> None:
    data = sample_path(f"idx/gfs.t00z.pgrb2.0p25.f{lead_hours:03d}.idx").read_bytes()
    planned = plan(data, lead_hours, channels)
    assert sorted(channel for message in planned.messages for channel in message.channels) == sorted(channels)
    assert (len(planned.ranges), sum(message.length for message in planned.messages)) == (ranges, size_bytes)
    assert all(message.fields == 1 for message in planned.messages)


def test_the_first_range_of_the_real_index_is_prmsl_and_neither_mslet_nor_another_temperature() -> None:
    text = sample_path("idx/gfs.t00z.pgrb2.0p25.f000.idx").read_text()
    planned = plan(text.encode(), 0, [("msl", 0), ("2t", 0)])
    by_offset = {int(line.split(":")[1]): line for line in text.splitlines()}
    lines = [by_offset[message.offset] for message in planned.messages]
    assert [line.split(":")[3:5] for line in lines] == [["PRMSL", "mean sea level"], ["TMP", "2 m above ground"]]
    assert any(":MSLET:" in line for line in by_offset.values())
    assert any(":TMP:2 mb:" in line for line in by_offset.values())


@pytest.mark.parametrize("name", ["geavg.t00z.pgrb2s.0p25.f000.idx", "gfswave.t18z.atlocn.0p16.f001.grib2.idx"])
def test_ensemble_and_wave_indexes_parse_and_lack_the_channels(name: str) -> None:
    data = sample_path(f"idx/{name}").read_bytes()
    cycle = datetime.strptime(data.decode().split(":")[2], "d=%Y%m%d%H").replace(tzinfo=UTC)
    assert len(parse_index(data, cycle)) == len(data.splitlines())
    with pytest.raises(CycleNotYetAvailable, match="69 wanted fields"):
        plan(data, 0, cycle=cycle)


def _without(text: str) -> str:
    return re.sub(r".*:SPFH:500 mb:anl:\n", "", text)


def _doubled(text: str) -> str:
    line = next(line for line in text.splitlines(keepends=True) if ":SPFH:500 mb:" in line)
    return text.replace(line, line + line)


def _swapped(text: str) -> str:
    lines = text.splitlines(keepends=True)
    return "".join([*lines[:9], lines[10], lines[9], *lines[11:]])


@pytest.mark.parametrize(
    ("change", "fault", "says"),
    [
        pytest.param(_without, CycleNotYetAvailable, "1 wanted fields", id="wanted line removed"),
        pytest.param(
            lambda text: "".join(text.splitlines(True)[:300]), CycleNotYetAvailable, "wanted", id="cut at a line"
        ),
        pytest.param(lambda text: "", CycleNotYetAvailable, "empty", id="empty"),
        pytest.param(_doubled, SourceCorrupt, "twice", id="doubled"),
        pytest.param(_swapped, SourceCorrupt, "offsets fall", id="out of order"),
        pytest.param(lambda text: text[: len(text) // 2 - 9], SourceCorrupt, "does not parse", id="cut in the middle"),
        pytest.param(
            lambda text: text.replace("d=2025080100", "d=2025080106"), SourceCorrupt, "another cycle", id="date"
        ),
        pytest.param(lambda text: text * 32, SourceCorrupt, "too long", id="1 MB long"),
        pytest.param(lambda text: text.replace(":TMP:", ":TMP\xff:", 1), SourceCorrupt, "not ASCII", id="not ASCII"),
        pytest.param(lambda text: text.replace("1:0:", "one:0:", 1), SourceCorrupt, "does not parse", id="no number"),
    ],
)
def test_an_index_that_is_not_whole_is_refused(change: Callable[[str], str], fault: type[Exception], says: str) -> None:
    changed = change(sample_path("idx/gfs.t00z.pgrb2.0p25.f000.idx").read_text()).encode("latin-1")
    with pytest.raises(fault, match=says):
        plan(changed)


def test_a_file_that_is_shorter_than_its_index_is_still_being_written() -> None:
    lines = parse_index(b"1:0:d=2025080100:A:b:anl:\n2:50:d=2025080100:C:d:anl:\n", CYCLE)
    with pytest.raises(CycleNotYetAvailable, match="shorter than its index"):
        plan_messages(lines, {}, 50)


SUB_MESSAGES = b"""1:0:d=2025080100:HGT:500 mb:anl:
2.1:100:d=2025080100:UGRD:500 mb:anl:
2.2:100:d=2025080100:VGRD:500 mb:anl:
3:250:d=2025080100:TMP:500 mb:anl:
"""


def test_sub_messages_share_one_range_and_the_last_message_ends_with_the_file() -> None:
    planned = plan(SUB_MESSAGES, 0, [("v", 500), ("u", 500)])
    assert planned.messages == (PlannedMessage(100, 150, 2, (("u", 500), ("v", 500))),)
    (last,) = plan(SUB_MESSAGES, 0, [("t", 500)]).messages
    assert (last.offset, last.end) == (250, FILE_BYTES)


def test_a_sub_message_that_nobody_wants_is_counted_and_adjacent_messages_are_joined() -> None:
    planned = plan(SUB_MESSAGES, 0, [("z", 500), ("u", 500)])
    assert [message.fields for message in planned.messages] == [1, 2]
    assert [[message.offset for message in joined] for joined in planned.ranges] == [[0, 100]]


@pytest.mark.parametrize(("lead_hours", "forecast"), [(0, "anl"), (6, "6 hour fcst"), (240, "240 hour fcst")])
def test_a_forecast_word_has_no_padding(lead_hours: int, forecast: str) -> None:
    assert index_key(("t", 50), lead_hours) == ("TMP", "50 mb", forecast, "")


def test_a_path_is_the_archives() -> None:
    path = gfs_path("pgrb2.0p25", datetime(2025, 8, 1, 6, tzinfo=UTC), 6)
    assert path == "gfs.20250801/06/atmos/gfs.t06z.pgrb2.0p25.f006"
