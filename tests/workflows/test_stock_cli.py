"""Runs driven by nothing but the `temporal` command, as an operator has it."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import subprocess
from collections.abc import Generator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client, WorkflowExecutionStatus

from adapters import temporal_server
from adapters.temporal_client import connect
from protocol import names
from starter.embedded import NAMESPACE
from tests.workflows.dev_server import dev_server, listed, pod
from tests.workflows.fakes import FakeOperator, Script

pytestmark = pytest.mark.server

MINERS = ["1" * 64, "2" * 64]
MIDNIGHT = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=12)
START = "temporal workflow start --type ForecastRun --task-queue control"
SCHEDULE = """temporal schedule create --schedule-id forecasts --cron '30 3,9,15,21 * * *' --time-zone UTC
  --overlap-policy AllowAll --catchup-window 6h
  --type Trigger --task-queue control --workflow-id trigger/forecast --input '{}'"""
REFUSED = [
    ("forecast/2020-01-01T00Z", '{"init_time": "yesterday"}', "init_time"),
    ("forecast/2020-01-01T00Z", '{"init_time": "2020-01-01T07:00:00Z"}', "init_time must be 00, 06, 12 or 18 UTC"),
    ("forecast/2020-01-01T00Z", '{"init_time": "2020-01-01T00:00:00Z", "grids": "0p25"}', "grids"),
    ("forecast/2020-01-01T00Z", "{}", "init_time"),
    ("my-run", '{"init_time": "2020-01-01T00:00:00Z"}', "found my-run; expected forecast/2020-01-01T00Z"),
]


@dataclass(frozen=True)
class Told:
    code: int | None
    out: str
    error: str

    @property
    def document(self) -> Any:
        assert self.code == 0, self.error
        return json.loads(self.out)


@dataclass(frozen=True)
class Cli:
    """The binary with an address, and without any file of the user's."""

    address: str
    home: Path

    async def __call__(self, line: str) -> Told:
        name, *arguments = shlex.split(line)
        assert name == "temporal"
        process = await asyncio.create_subprocess_exec(
            *(temporal_server.find_binary(), *arguments),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={"PATH": os.environ["PATH"], "HOME": str(self.home), "TEMPORAL_ADDRESS": self.address},
        )
        out, error = await process.communicate()
        return Told(process.returncode, out.decode(), error.decode())

    async def query(self, workflow_id: str, kind: str) -> Any:
        told = await self(f"temporal workflow query --workflow-id {workflow_id} --type {kind} --output json")
        return told.document["queryResult"][0]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Generator[str]:
    with dev_server(tmp_path_factory.mktemp("temporal")) as address:
        yield address


@pytest.fixture
async def client(address: str) -> Client:
    return await connect(address, NAMESPACE)


@pytest.fixture
def temporal(address: str, tmp_path: Path) -> Cli:
    return Cli(address, tmp_path)


def run_input(at: datetime, **more: Any) -> str:
    return shlex.quote(json.dumps({"init_time": names.format_time(at), **more}))


async def test_an_init_time_is_all_that_a_run_needs_and_later_starts_join_it(temporal: Cli, client: Client) -> None:
    run_id = names.run_id(MIDNIGHT)
    start = f"{START} --workflow-id {run_id} --input {run_input(MIDNIGHT)} --id-reuse-policy AllowDuplicateFailedOnly"
    async with pod(client, Script(MINERS)):
        first, second = await asyncio.gather(temporal(start), temporal(start))
        assert (first.code, second.code, first.out) == (0, 0, second.out)
        result = await temporal(f"temporal workflow result --workflow-id {run_id} --output json")
        assert result.document["result"]["outcome"] == "closed"
        assert (await temporal.query(run_id, "progress"))["passes_done"] == 2
        assert (await temporal.query(run_id, "status"))["outcome"] == "closed"
        described = (await temporal(f"temporal workflow describe --workflow-id {run_id} --output json")).document
        attributes = described["workflowExecutionInfo"]["searchAttributes"]["indexedFields"]
        assert {"BarographInit", "BarographRun", "BarographSpec", "BarographStage"} <= attributes.keys()
        assert await temporal(start) == first
        again = await temporal(f"{start} --fail-existing")
        assert again.code == 1 and "already" in again.error
        query = shlex.quote(f"BarographMiner = '{MINERS[0]}'")
        found = (await temporal(f"temporal workflow list --query {query} --output json")).document
        assert [each["execution"]["workflowId"] for each in found] == [names.miner_workflow_id(run_id, MINERS[0])]


async def test_an_open_run_is_asked_why_and_cancelled(temporal: Cli, client: Client) -> None:
    run_id = names.run_id(MIDNIGHT, "by-hand")
    given = run_input(MIDNIGHT, campaign={"name": "by-hand"})
    async with pod(client, Script(MINERS, commit_wait=timedelta(hours=1))):
        assert (await temporal(f"{START} --workflow-id {run_id} --input {given}")).code == 0
        await listed(client, f'BarographMiner = "{MINERS[1]}" AND BarographRun = "{run_id}"', 1)
        why = await temporal.query(run_id, "why")
        assert (why["stage"], why["waiting_for"]) == ("forecast", "commitments of 2 miners")
        assert datetime.fromisoformat(why["until"]) > datetime.now(UTC) + timedelta(minutes=50)
        shown = await temporal(f"temporal workflow metadata --workflow-id {run_id}")
        assert shown.code == 0 and "commitments of 2 miners" in shown.out
        assert (await temporal(f"temporal workflow cancel --workflow-id {run_id}")).code == 0
        result = await temporal(f"temporal workflow result --workflow-id {run_id}")
        assert result.code == 1 and "CANCELED" in result.out + result.error


async def test_a_cycle_that_a_schedule_names_twice_is_one_run(temporal: Cli, client: Client) -> None:
    cycle = MIDNIGHT + timedelta(hours=6)
    nominal = names.format_time(cycle + timedelta(hours=3, minutes=30))
    backfill = f"temporal schedule backfill --schedule-id forecasts --start-time {nominal} --end-time {nominal}"
    triggers = f'WorkflowId = "trigger/forecast-{nominal}" AND ExecutionStatus = "Completed"'
    async with pod(client, Script(MINERS)):
        assert (await temporal(SCHEDULE)).code == 0
        for count in (1, 2):
            assert (await temporal(f"{backfill} --overlap-policy AllowAll")).code == 0
            await counted(client, triggers, count)
        results = [
            await client.get_workflow_handle(each.id, run_id=each.run_id).result()
            async for each in client.list_workflows(triggers)
        ]
        assert sorted(result["joined"] for result in results) == [False, True]
        await client.get_workflow_handle(names.run_id(cycle)).result()
        assert (await client.count_workflows(f'WorkflowId = "{names.run_id(cycle)}"')).count == 1
        assert (await temporal("temporal schedule trigger --schedule-id forecasts")).code == 0
        (open_run,) = await listed(client, 'WorkflowType = "ForecastRun" AND ExecutionStatus = "Running"', 1)
        assert datetime.now(UTC) - names.parse_run_id(open_run).init_time < timedelta(hours=9, minutes=31)
        assert (await temporal("temporal schedule delete --schedule-id forecasts")).code == 0
        await client.get_workflow_handle(open_run).cancel()


# long: one story, line by line
async def test_the_page_on_operating_is_true_of_the_stock_command(temporal: Cli, client: Client) -> None:
    run_id = names.run_id(MIDNIGHT, "held")
    page = (Path(__file__).parents[2] / "docs" / "operating.md").read_text()
    why, hold, skip, release = (
        line.replace("forecast/2026-11-22T18Z", run_id) + " --output json"
        for line in page.splitlines()
        if line.startswith("temporal ")
    )
    given = run_input(MIDNIGHT, campaign={"name": "held"})
    script = Script(MINERS, commit_wait=timedelta(hours=1))
    async with pod(client, script, FakeOperator(script)):
        assert (await temporal(f"{START} --workflow-id {run_id} --input {given}")).code == 0
        await listed(client, f'BarographMiner = "{MINERS[1]}" AND BarographRun = "{run_id}"', 1)
        assert (await temporal(hold)).document["result"]["verb"] == "hold"
        assert (await temporal.query(run_id, "status"))["held_by"] == "ada"
        told = (await temporal(why)).document["queryResult"][0]
        assert (told["kind"], told["waiting_for"], "release" in told["verbs"]) == (
            "miner",
            "commitments of 2 miners",
            True,
        )
        again = await temporal(hold)
        assert again.code == 1 and "the run is held by ada" in again.out + again.error
        assert (await temporal(skip)).document["result"]["dry_run"] is True
        assert (await temporal(release)).code == 0
        assert (await temporal.query(run_id, "status"))["held_by"] is None
        await client.get_workflow_handle(run_id).cancel()


@pytest.mark.parametrize(("workflow_id", "given", "named"), REFUSED)
async def test_a_start_that_does_not_hold_fails_at_once_and_names_what(
    temporal: Cli, client: Client, workflow_id: str, given: str, named: str
) -> None:
    async with pod(client, Script(MINERS)):
        line = f"temporal workflow execute --type ForecastRun --task-queue control --workflow-id {workflow_id}"
        told = await temporal(f"{line} --input {shlex.quote(given)}")
    assert told.code == 1 and named in told.out + told.error
    failed = await client.get_workflow_handle(workflow_id).describe()
    assert failed.status == WorkflowExecutionStatus.FAILED
    assert failed.close_time is not None and failed.close_time - failed.start_time < timedelta(seconds=2)


async def test_words_that_are_no_json_never_reach_the_server(temporal: Cli) -> None:
    told = await temporal(f"{START} --workflow-id forecast/2020-01-01T00Z --input '{{init_time'")
    assert told.code == 1 and "not valid JSON" in told.error


async def counted(client: Client, query: str, count: int) -> None:
    async with asyncio.timeout(20):
        while (await client.count_workflows(query)).count < count:
            continue
