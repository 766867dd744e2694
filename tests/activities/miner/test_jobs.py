"""The miner's job table in a real SQLite file."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from miner.jobs import JOINED_BY, Job, Jobs, OtherJob
from weather.faults import LedgerUnavailable

JOB = Job(
    job_id="d728e0eb-1c1a-5e70-9de4-ac16a13782d4",
    hotkey="aa" * 32,
    network="test",
    run_id="forecast/2026-11-22T18Z",
    gfs_init_time="2026-11-22T18:00:00Z",
    grid="5p625-small",
    layout_digest="11" * 32,
    score_spec_digest="22" * 32,
    input_data_hash="33" * 32,
    call="{}",
    received_at="2026-11-22T21:30:00Z",
)


@pytest.fixture
def jobs(tmp_path: Path) -> Iterator[Jobs]:
    table = Jobs(tmp_path)
    yield table
    table.close()


def test_equal_call_joins_the_job_and_a_different_one_is_a_conflict(jobs: Jobs) -> None:
    assert jobs.receive(JOB) == (JOB, True)
    again, created = jobs.receive(replace(JOB, call='{"later":1}', received_at="2026-11-22T21:40:00Z"))
    assert again == JOB and not created
    for member in JOINED_BY:
        with pytest.raises(OtherJob, match=member):
            jobs.receive(replace(JOB, **{member: "other"}))


def test_job_goes_through_its_stages_and_the_first_commitment_stands(jobs: Jobs) -> None:
    jobs.receive(JOB)
    jobs.enter(JOB.job_id, "inference")
    jobs.fail(JOB.job_id, "inference_failed", "x" * 600)
    failed = jobs.get(JOB.job_id)
    assert failed is not None and failed.status == "error" and len(failed.error_detail or "") == 500
    jobs.enter(JOB.job_id, "writing")
    working = jobs.get(JOB.job_id)
    assert working is not None and (working.status, working.stage, working.error_code) == (
        "processing",
        "writing",
        None,
    )
    assert jobs.sign(JOB.job_id, '{"root":1}', "s1") == '{"root":1}'
    assert jobs.sign(JOB.job_id, '{"root":2}', "s2") == '{"root":1}'
    jobs.enter(JOB.job_id, "writing")
    jobs.fail(JOB.job_id, "storage_failed", "")
    signed = jobs.get(JOB.job_id)
    assert signed is not None and (signed.status, signed.signature) == ("completed", "s1")


def test_first_receipt_of_each_validator_is_kept(jobs: Jobs) -> None:
    jobs.receive(JOB)
    jobs.keep_receipt(JOB.job_id, "bb" * 32, "first")
    jobs.keep_receipt(JOB.job_id, "bb" * 32, "second")
    assert jobs.receipt(JOB.job_id, "bb" * 32) == "first"
    assert jobs.receipt(JOB.job_id, "cc" * 32) is None


def test_everything_is_there_after_a_restart(tmp_path: Path) -> None:
    before = Jobs(tmp_path)
    before.receive(JOB)
    before.sign(JOB.job_id, "{}", "s")
    before.expire(JOB.job_id, datetime(2026, 12, 20, tzinfo=UTC))
    before.close()
    after = Jobs(tmp_path)
    job = after.get(JOB.job_id)
    after.close()
    assert job is not None and job.signature == "s" and job.expired_at == "2026-12-20T00:00:00+00:00"


def test_database_that_refuses_is_our_fault(jobs: Jobs, tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "miner.sqlite")
    connection.execute("DROP TABLE weather_miner_receipts")
    connection.close()
    with pytest.raises(LedgerUnavailable, match="miner's database"):
        jobs.receipt(JOB.job_id, "bb" * 32)
