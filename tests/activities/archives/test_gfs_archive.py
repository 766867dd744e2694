from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import numpy as np
import pytest

from adapters.grib_decoder import GribDecoder, values_on
from adapters.grib_messages import cut_messages
from adapters.inputs import fetch_fields, keep_bundle
from adapters.object_store import ObjectStore
from protocol.messages import input_data_hash
from tests.activities.archives.real_files import (
    ALL_LEVELS,
    COARSE,
    CYCLE,
    LEAD,
    PATH,
    SMALL,
    WINDS,
    archive_of,
)
from tests.range_server import RangeServer
from weather.faults import CycleNotYetAvailable, SourceCorrupt, SourceFault, SourceGone
from weather.fields import short_name
from weather.variables import LEVELS


async def test_all_winds_of_all_levels_arrive(
    first: RangeServer, client: httpx.AsyncClient, decoder: GribDecoder
) -> None:
    archive = archive_of(client, first.url)
    plan = await archive.plan(CYCLE, LEAD, WINDS)
    messages = await archive.fetch(plan)
    decoded = [field for message in messages for field in decoder.decode_any(message.data)]
    assert sorted(field.keys["shortName"] for field in decoded) == sorted(["u", "v"] * 26 + ["10u", "10v"])
    assert {field.keys["level"] for field in decoded if field.keys["shortName"] == "v"} == set(ALL_LEVELS)
    assert {field.validity for field in decoded} == {datetime(2011, 1, 15, 12, tzinfo=UTC)}
    assert all(30 < np.ptp(values_on(field, COARSE)) < 200 for field in decoded)
    assert all(message.planned.fields == 2 for message in messages if len(message.planned.channels) == 2)
    assert len(plan.ranges) == 27
    asked = [str(span) for method, path, span in first.requests if path == PATH and method == "GET"]
    assert sorted(asked) == sorted(f"bytes={part[0].offset}-{part[-1].end - 1}" for part in plan.ranges)


async def test_known_channels_become_fields_and_objects(
    first: RangeServer, client: httpx.AsyncClient, decoder: GribDecoder, tmp_path: Path
) -> None:
    channels = [(name, level) for name in ("z", "t", "u", "v") for level in LEVELS] + [("msl", 0), ("2t", 0)]
    store = ObjectStore(tmp_path / "objects")
    fetched = await fetch_fields(archive_of(client, first.url), decoder, store, COARSE, CYCLE, LEAD, channels)
    assert [(field.variable, field.level) for field in fetched.fields] == channels
    assert {field.valid_time for field in fetched.fields} == {CYCLE + timedelta(hours=LEAD)}
    assert len({field.digest for field in fetched.fields}) == len(channels)
    for field, described in zip(fetched.fields, fetched.objects, strict=True):
        assert (described.variable, described.level) == (field.variable, field.level or None)
        assert len(store.get(described.sha256)) == described.length
        assert (
            store.get_field(COARSE, field.variable, field.level, field.valid_time, field.digest).digest == field.digest
        )
    u, v = (fetched.objects[channels.index((name, 500))] for name in ("u", "v"))
    assert (u.offset, u.length, u.sha256) == (v.offset, v.length, v.sha256)
    assert u.name == "gfs.t12z.pgrb2.2p50.f120"
    assert len(input_data_hash(fetched.objects)) == 64
    assert store.get(keep_bundle(store, COARSE.name, fetched.fields)).startswith(b'{"document":"barograph/field-set/1"')


async def test_a_file_without_specific_humidity_fails_closed(first: RangeServer, client: httpx.AsyncClient) -> None:
    wanted = [*SMALL, ("q", 500)]
    with pytest.raises(CycleNotYetAvailable, match="SPFH") as young:
        await archive_of(client, first.url).plan(CYCLE, LEAD, wanted)
    assert young.value.retry_after == timedelta(seconds=60)
    with pytest.raises(SourceCorrupt, match="SPFH"):
        await archive_of(client, first.url, at=CYCLE + timedelta(hours=13)).plan(CYCLE, LEAD, wanted)


HARM: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "magic": (lambda message: b"GRUB" + message[4:], "not a GRIB message"),
    "edition": (lambda message: message[:7] + b"\3" + message[8:], "not a GRIB message"),
    "trailer": (lambda message: message[:-4] + b"7778", "does not end as it must"),
    "longer than sent": (lambda message: message[:8] + (1 << 40).to_bytes(8, "big") + message[16:], "wrong length"),
    "off by one": (
        lambda message: message[:15] + bytes([message[15] ^ 1]) + message[16:],
        "wrong length|end as",
    ),
    "length nought": (lambda message: message[:8] + bytes(8) + message[16:], "wrong length"),
    "zeros": (lambda message: bytes(len(message)), "not a GRIB message"),
}


@pytest.mark.parametrize("harm", HARM)
async def test_a_message_with_a_broken_frame_is_refused(
    first: RangeServer, client: httpx.AsyncClient, grib: bytes, harm: str
) -> None:
    archive, (change, says) = archive_of(client, first.url), HARM[harm]
    plan = await archive.plan(CYCLE, LEAD, SMALL)
    message = plan.messages[2]
    broken = grib[: message.offset] + change(grib[message.offset : message.end]) + grib[message.end :]
    (first.root / PATH).write_bytes(broken)
    with pytest.raises(SourceCorrupt, match=says):
        await archive.fetch(plan)


async def test_a_message_of_another_field_is_refused_by_its_keys(
    first: RangeServer, client: httpx.AsyncClient, idx: str, decoder: GribDecoder, tmp_path: Path
) -> None:
    renamed = idx.replace(":TMP:500 mb:", ":TMP:x:").replace(":TMP:550 mb:", ":TMP:500 mb:")
    (first.root / f"{PATH}.idx").write_text(renamed)
    store = ObjectStore(tmp_path / "objects")
    with pytest.raises(SourceCorrupt, match=r"not hold the channel once.*isobaricInhPa', 550.*expected.*, 500"):
        await fetch_fields(archive_of(client, first.url), decoder, store, COARSE, CYCLE, LEAD, SMALL)


async def test_a_range_with_another_count_of_messages_than_planned_is_refused(
    first: RangeServer, client: httpx.AsyncClient, idx: str
) -> None:
    lines = idx.splitlines(keepends=True)
    (first.root / f"{PATH}.idx").write_text("".join(lines[: next(n for n, x in enumerate(lines) if ":2 m " in x) + 1]))
    archive = archive_of(client, first.url)
    plan = await archive.plan(CYCLE, LEAD, [("2t", 0)])
    assert plan.messages[-1].end == plan.file_bytes
    with pytest.raises(SourceCorrupt, match="not those of the index"):
        await archive.fetch(plan)


async def test_a_truncated_file_is_still_being_written_while_it_is_young(
    first: RangeServer, client: httpx.AsyncClient, grib: bytes
) -> None:
    (first.root / PATH).write_bytes(grib[: len(grib) // 2])
    with pytest.raises(CycleNotYetAvailable, match="shorter than its index"):
        await archive_of(client, first.url).plan(CYCLE, LEAD, SMALL)
    with pytest.raises(SourceCorrupt, match="shorter than its index"):
        await archive_of(client, first.url, at=CYCLE + timedelta(days=1)).plan(CYCLE, LEAD, SMALL)


async def test_a_file_that_shrinks_after_planning_is_refused(
    first: RangeServer, client: httpx.AsyncClient, grib: bytes
) -> None:
    archive = archive_of(client, first.url)
    plan = await archive.plan(CYCLE, LEAD, SMALL)
    (first.root / PATH).write_bytes(grib[:-1])
    with pytest.raises(SourceCorrupt, match="206"):
        await archive.fetch(plan)


@pytest.mark.parametrize(
    ("age", "fault", "wait"),
    [
        (timedelta(hours=1), CycleNotYetAvailable, timedelta(minutes=10)),
        (timedelta(hours=4), CycleNotYetAvailable, timedelta(minutes=1)),
        (timedelta(hours=47), CycleNotYetAvailable, timedelta(minutes=10)),
        (timedelta(hours=49), SourceGone, None),
    ],
)
async def test_an_absent_cycle_is_not_yet_there_for_two_days_and_then_gone(
    first: RangeServer,
    client: httpx.AsyncClient,
    age: timedelta,
    fault: type[SourceFault],
    wait: timedelta | None,
) -> None:
    other = CYCLE + timedelta(hours=6)
    with pytest.raises(SourceFault) as raised:
        await archive_of(client, first.url, at=other + age).plan(other, LEAD, SMALL)
    assert (type(raised.value), raised.value.retry_after) == (fault, wait)


def test_the_index_builder_writes_what_the_file_holds(grib: bytes, idx: str) -> None:
    lines = idx.splitlines()
    assert len(lines) == 343
    assert len({line.split(":")[1] for line in lines}) == len(cut_messages(grib)) == 307
    assert short_name("v", 500) == "v500"
