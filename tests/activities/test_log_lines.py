"""A line of the log is one JSON object that names its subject and tells no secret."""

import json
import logging
from collections.abc import Generator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from opentelemetry.trace import get_tracer
from temporalio import activity
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput

from activities.faults import FaultInterceptor
from adapters.telemetry import ActivityLines, about_miner, scrub, telemetry
from weather.faults import MinerTimeout, NoCommitment

RUN = "campaign/demo/forecast/2026-11-22T18Z"


@pytest.fixture
def provider(tmp_path: Path) -> Generator[object]:
    with telemetry("test", log_file=tmp_path / "logs" / "test.log") as provider:
        yield provider


def lines(folder: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in (folder / "logs" / "test.log").read_text().splitlines()]


class Ends(ActivityInboundInterceptor):
    """An activity that ends so."""

    def __init__(self, error: Exception | None) -> None:
        self.error = error

    async def execute_activity(self, input: ExecuteActivityInput) -> None:
        about_miner("ab12")
        if self.error:
            raise self.error


@pytest.mark.parametrize(
    ("error", "level", "told"),
    [
        (None, "info", "done in "),
        (NoCommitment("it is computing"), "info", "NoCommitment: it is computing"),
        (MinerTimeout("no answer", expected="30 s"), "warning", "MinerTimeout: no answer; expected 30 s"),
        (KeyError("surprise"), "warning", "InternalError: KeyError: 'surprise'"),
    ],
)
async def test_each_attempt_of_an_activity_is_one_line(
    provider: object, tmp_path: Path, error: Exception | None, level: str, told: str
) -> None:
    environment = ActivityEnvironment()
    environment.info = replace(environment.info, workflow_id=f"{RUN}/score/day1_qc", attempt=3)
    outer = ActivityLines().intercept_activity(FaultInterceptor().intercept_activity(Ends(error)))

    async def attempt() -> None:
        with get_tracer("test").start_as_current_span("RunActivity"):
            try:
                await outer.execute_activity(ExecuteActivityInput(attempt, (), None, {}))
            except ApplicationError:
                activity.logger.warning("Completing activity as failed", exc_info=True)

    await environment.run(attempt)
    (line,) = [line for line in lines(tmp_path) if line["logger"].endswith(".activity")]
    assert line["message"].startswith(told) and line["level"] == level
    assert (line["run"], line["miner"], line["attempt"]) == (RUN, "ab12", 3)
    assert {"trace_id", "span_id", "workflow", "activity"} <= line.keys()
    assert ("Traceback" in line.get("error", "")) == isinstance(error, KeyError)


@pytest.mark.parametrize(
    ("workflow_id", "run", "miner"),
    [
        (RUN, RUN, None),
        ("forecast/2026-11-22T18Z/score/era5_final/024h", "forecast/2026-11-22T18Z", None),
        (f"{RUN}/miner/ab12", RUN, "ab12"),
        ("miner/ab12/2026-11-22T18Z", "forecast/2026-11-22T18Z", "ab12"),
        ("miner/ab12/campaign/demo/2026-11-22T18Z", RUN, "ab12"),
        ("retention/2026-11-22", None, None),
    ],
)
def test_a_workflow_id_tells_run_and_miner(
    provider: object, tmp_path: Path, workflow_id: str, run: str | None, miner: str | None
) -> None:
    environment = ActivityEnvironment()
    environment.info = replace(environment.info, workflow_id=workflow_id)
    environment.run(logging.getLogger("here").info, "done")
    (line,) = lines(tmp_path)
    assert (line.get("run"), line.get("miner")) == (run, miner)


def test_libraries_are_heard_only_when_something_is_wrong(provider: object, tmp_path: Path) -> None:
    for name in ("alembic.runtime.migration", "httpx"):
        logging.getLogger(name).info("Context impl SQLiteImpl.")
        logging.getLogger(name).warning("wrong")
    assert [line["message"] for line in lines(tmp_path)] == ["wrong"] * 2


def test_secrets_are_scrubbed() -> None:
    for secret in (
        "Authorization: Bearer abc.def-ghi",
        "{'authorization': 'Bearer abc.def-ghi'}",
        "token eyJhbGciOiJFZERTQSJ9.eyJpc3MiOiJhIn0.c2lnbmF0dXJl refused",
        "postgresql+psycopg://user:abc.def-ghi@host/ledger",
        "https://host/?access_token=abc.def-ghi&x=1",
        "PGPASSWORD=abc.def-ghi",
    ):
        clean = scrub(secret)
        assert "***" in clean and not any(part in clean for part in ("abc.def-ghi", "eyJ", "c2lnbmF0dXJl")), clean
    assert (
        scrub("http://127.0.0.1:8080/a at 12:30, token: 4096 bytes")
        == "http://127.0.0.1:8080/a at 12:30, token: 4096 bytes"
    )


def test_a_line_is_one_json_object_on_standard_error_and_in_the_file(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with telemetry("test", log_file=tmp_path / "logs" / "test.log"):
        logging.getLogger("here").warning("two\nlines", extra={"run": RUN, "miner": "ab12"})
    (line,) = lines(tmp_path)
    assert [json.loads(text) for text in capsys.readouterr().err.splitlines()] == [line]
    assert datetime.fromisoformat(line.pop("time")).utcoffset() == timedelta(0)
    assert line == {"level": "warning", "logger": "here", "message": "two\nlines", "run": RUN, "miner": "ab12"}


def test_an_error_is_told_with_its_traceback_but_without_its_secrets(provider: object, tmp_path: Path) -> None:
    try:
        raise ValueError("cannot reach http://u:hunter2@h/")
    except ValueError:
        logging.getLogger("here").exception("failed")
    (line,) = lines(tmp_path)
    assert "ValueError: cannot reach http://u:***@h/" in line["error"]


def test_after_shutdown_nothing_is_written(tmp_path: Path) -> None:
    with telemetry("test", log_file=tmp_path / "logs" / "test.log"):
        pass
    logging.getLogger("here").warning("late")
    assert lines(tmp_path) == []
