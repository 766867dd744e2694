from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import names
from tests.unit.protocol.world import MINER, RUN, T0

HINDCAST = "campaign/winter-26/forecast/2026-11-22T18Z"


def test_ids_of_a_run_and_its_parts() -> None:
    assert names.run_id(T0) == "forecast/2026-11-22T18Z" == RUN
    assert names.run_id(T0, "winter-26") == HINDCAST
    assert names.miner_workflow_id(RUN, "ab") == f"{RUN}/miner/ab"
    assert names.pass_workflow_id(RUN, "day1_qc") == f"{RUN}/score/day1_qc"
    assert names.pass_workflow_id(RUN, "era5_final", 24) == f"{RUN}/score/era5_final/024h"
    assert names.miner_job_workflow_id("ab", RUN) == "miner/ab/2026-11-22T18Z"
    assert names.miner_job_workflow_id("ab", HINDCAST) == "miner/ab/campaign/winter-26/2026-11-22T18Z"


def test_a_run_id_reads_back() -> None:
    assert names.parse_run_id(RUN) == (T0, None)
    assert names.parse_run_id(HINDCAST) == (T0, "winter-26")


@pytest.mark.parametrize(
    "value",
    [
        "forecast/2026-11-22T17Z",
        "forecast/2026-11-22T18Z\n",
        "forecast/2026-02-30T18Z",
        "forecast/٢٠٢٦-11-22T18Z",
        f"{HINDCAST}/2",
        "campaign/ab/forecast/2026-11-22T18Z",
        "campaign/A-b/forecast/2026-11-22T18Z",
        f"/{RUN}",
    ],
)
def test_anything_else_is_no_run_id(value: str) -> None:
    with pytest.raises(ValueError):
        names.parse_run_id(value)


def test_only_cycles_and_campaign_names_make_a_run_id() -> None:
    for instant in (T0 + timedelta(hours=1), T0 + timedelta(seconds=1), T0.replace(tzinfo=None)):
        with pytest.raises(ValueError):
            names.run_id(instant)
    for campaign in ("", "ab", "a" * 30, "Winter"):
        with pytest.raises(ValueError):
            names.run_id(T0, campaign)


def test_job_id_depends_on_network_run_and_miner() -> None:
    assert names.job_id("test", RUN, MINER.hotkey) == "d728e0eb-1c1a-5e70-9de4-ac16a13782d4"
    assert len({names.job_id(*parts) for parts in [("a", RUN, "b"), ("b", RUN, "b"), ("a", HINDCAST, "b")]}) == 3


@given(st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)))
def test_instants_read_back_and_stamps_are_never_earlier(instant: datetime) -> None:
    whole = instant.replace(microsecond=0)
    assert names.parse_time(names.format_time(whole)) == whole
    stamp = names.parse_stamp(names.format_stamp(instant))
    assert timedelta(0) <= stamp - instant < timedelta(milliseconds=1)
    assert (stamp <= whole) == (instant <= whole)


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-22T18:00:00",
        "2026-11-22T18:00:00+00:00",
        "2026-11-22T18:00:00.000Z",
        "2026-11-22 18:00:00Z",
        "2026-13-22T18:00:00Z",
        "2026-11-22T18:00:60Z",
        "2026-11-22T18:00:00Z\n",
        "20261122T180000Z",
        "",
    ],
)
def test_a_time_has_one_spelling(text: str) -> None:
    with pytest.raises(ValueError):
        names.parse_time(text)


def test_a_time_has_no_fraction_and_a_zone() -> None:
    assert names.format_time(T0.astimezone(timezone(timedelta(hours=9)))) == "2026-11-22T18:00:00Z"
    assert names.format_stamp(T0 + timedelta(microseconds=999_001)) == "2026-11-22T18:00:01.000Z"
    for instant in (T0 + timedelta(microseconds=1), T0.replace(tzinfo=None)):
        with pytest.raises(ValueError):
            names.format_time(instant)
