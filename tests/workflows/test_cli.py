"""The command line against a real Temporal server."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from temporalio.api.enums.v1 import TaskQueueType
from temporalio.client import Client

from activities import task_queues
from adapters import temporal_server
from adapters.temporal_client import connect
from starter.client import CLIENT_FILE
from starter.embedded import NAMESPACE, EmbeddedStack, MinerPlan, Ports, World, polled
from starter.state_folder import open_state_folder
from starter.supervisor import supervise
from tests.workflows.conftest import workers
from tests.workflows.fakes import Script
from weather.faults import ConfigurationInvalid, SourceGone

pytestmark = pytest.mark.server
EMBEDDED = ("temporal", "archive", "worker-control", "worker-hybrid", "worker-publish", "miners")
MINERS = ["1" * 64, "2" * 64]
DAY = (datetime.now(UTC) - timedelta(days=30)).strftime("%Y-%m-%dT00Z")
RUN = f"campaign/test/forecast/{DAY}"
START = ("run", "start", DAY, "--campaign", "test")
INFERENCE = [(task_queues.INFERENCE, TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY)]
VERSION = temporal_server.binary_version(temporal_server.find_binary())


class Command:
    """`barograph` as a process of its own."""

    def __init__(self, state: Path) -> None:
        self.state = state

    async def start(self, *arguments: str, state: bool = True, **settings: str) -> asyncio.subprocess.Process:
        option = ("--state", str(self.state)) if state else ()
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("BAROGRAPH_", "TEMPORAL_"))}
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "starter", *arguments, *option),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=kept | settings,
        )

    async def __call__(self, *arguments: str) -> tuple[int | None, Any, str]:
        """Exit code, JSON document, standard error."""
        process = await self.start(*arguments, "--json")
        out, error = await process.communicate()
        return process.returncode, json.loads(out) if out else None, error.decode()


@pytest.fixture
async def stack(tmp_path: Path) -> AsyncIterator[EmbeddedStack]:
    """Files of a stack, with only its Temporal running."""
    folder = open_state_folder(tmp_path / "state", VERSION)
    stack = EmbeddedStack(folder, Ports.free(), World(), [MinerPlan("calm")], durable=False)
    stack.write_files()
    (folder.root / CLIENT_FILE).write_text(json.dumps(stack.environment("control")))
    async with supervise(stack.processes()[:1], lock=folder.lock):
        yield stack
    folder.close()


@pytest.fixture
def barograph(stack: EmbeddedStack) -> Command:
    return Command(stack.folder.root)


@pytest.fixture
async def client(stack: EmbeddedStack) -> Client:
    return await connect(stack.temporal_address, NAMESPACE)


async def test_a_second_start_joins_and_why_tells_what_is_waited_for(barograph: Command, client: Client) -> None:
    async with workers(client, Script(MINERS, commit_wait=timedelta(days=1)), cache=100):
        starts = await asyncio.gather(barograph(*START), barograph(*START))
        assert sorted((code, document["joined"]) for code, document, _ in starts) == [(0, False), (0, True)]
        assert {document["run_id"] for _, document, _ in starts} == {RUN}
        code, why, _ = await barograph("run", "why", RUN)
    assert (code, why["says"], why["kind"]) == (0, "forecast: waits for commitments of 2 miners", "miner")


async def test_a_verb_answers_its_receipt_and_what_is_refused_has_its_exit_code(
    barograph: Command, client: Client
) -> None:
    who = ("--actor", "alice", "--reason", "a look at the inputs")
    async with workers(client, Script(MINERS, commit_wait=timedelta(days=1)), cache=100):
        await barograph(*START)
        code, dry, _ = await barograph("run", "hold", RUN, *who, "--dry-run")
        assert (code, dry["verb"], dry["actor"], dry["dry_run"]) == (0, "hold", "alice", True)
        code, receipt, _ = await barograph("run", "hold", RUN, *who, "--request-id", "r1")
        assert (code, receipt["request_id"], receipt["dry_run"]) == (0, "r1", False)
        assert (await barograph("run", "hold", RUN, *who, "--request-id", "r1"))[:2] == (0, receipt)
        refusals = {
            ("hold", RUN): (4, "held by alice"),
            ("rerun", RUN): (4, "names its scope"),
            ("hold", "2020-01-01T00Z"): (4, "no open run"),
            ("hold", RUN, "--request-id", "a b"): (2, "request_id"),
        }
        for (verb, run, *more), (exit_code, why) in refusals.items():
            code, document, error = await barograph("run", verb, run, *who, *more)
            assert (code, document) == (exit_code, None) and why in error


async def test_without_a_worker_a_run_starts_and_waits_and_says_for_what(barograph: Command) -> None:
    assert (await barograph(*START))[:2] == (0, {"run_id": RUN, "joined": False})
    code, why, _ = await barograph("run", "why", RUN)
    assert (code, why["kind"]) == (0, "worker") and "`control` worker" in why["says"]
    code, document, error = await barograph("run", "status", "2020-01-01T00Z")
    assert (code, document) == (2, None) and "neither ledger nor Temporal" in error


async def test_a_run_without_miners_or_without_inputs_closes_void_with_its_exit_code(
    barograph: Command, client: Client
) -> None:
    async with workers(client, Script([]), cache=100):
        code, document, _ = await barograph(*START, "--wait")
        assert (code, document["outcome"], document["outcome_reason"]) == (4, "void", "empty_roster")
        assert (await barograph(*START))[:2] == (0, {"run_id": RUN, "joined": True})
    async with workers(client, Script(MINERS, faults={("fetch_inputs", ""): [SourceGone("gone")]}), cache=100):
        code, document, _ = await barograph(*START[:-1], "other", "--wait")
        assert (code, document["outcome_reason"]) == (5, "no_lead")


async def test_a_run_that_fails_tells_the_fault_and_may_be_started_again(barograph: Command, client: Client) -> None:
    wrong = ConfigurationInvalid("no such spec", found="a", expected="b")
    async with workers(client, Script([], faults={("open_run", ""): [wrong]}), cache=100):
        code, document, error = await barograph(*START, "--wait")
        assert (code, document) == (4, None) and "no such spec" in error and "found a; expected b" in error
        _, why, _ = await barograph("run", "why", RUN)
        assert (why["kind"], why["code"]) == ("policy", "ConfigurationInvalid") and "start it again" in why["says"]
        code, document, _ = await barograph(*START, "--wait")
        assert (code, document["joined"], document["outcome"]) == (4, False, "void")


async def test_who_waits_gets_the_result(barograph: Command, client: Client) -> None:
    script = Script(MINERS, commit_wait=timedelta(seconds=-58))
    async with workers(client, script, cache=100):
        code, document, error = await barograph(*START, "--wait")
    assert (code, document["outcome"], error) == (0, "closed", f"started {RUN}\n")


async def test_workers_and_miners_end_in_order_and_log_json_lines(stack: EmbeddedStack, client: Client) -> None:
    barograph = Command(stack.folder.root)
    config = str(stack.folder.root / "miners.toml")
    serving = [
        await barograph.start("worker", "--mode", "control", state=False, **stack.environment("control")),
        await barograph.start("miners", "serve", "--config", config, state=False),
    ]
    await temporal_server.wait_until_polled(client, polled("control"), serving[0].pid)
    await temporal_server.wait_until_polled(client, INFERENCE, serving[1].pid)
    for process in serving:
        process.terminate()
    for process in serving:
        out, error = await process.communicate()
        assert (process.returncode, out) == (0, b"")
        assert all(json.loads(line)["level"] for line in error.decode().splitlines())


async def test_a_stack_that_is_started_again_goes_on_where_it_was(tmp_path: Path) -> None:
    barograph, told = Command(tmp_path), []
    for joined in (False, True):
        up = await barograph.start("up", "--no-ui", "--json")
        assert up.stdout is not None and up.stderr is not None
        async with terminated(up):
            lines = [(await up.stderr.readline()).decode().split() for _ in EMBEDDED]
            assert lines[0][0] == "temporal" and {(line[0], line[-1]) for line in lines} == {
                (n, "ready") for n in EMBEDDED
            }
            told.append(json.loads(await up.stdout.readuntil(b"}\n")))
            stand = {each["name"]: each["paused"] for each in (await barograph("schedule", "list"))[1]}
            assert stand == {"forecasts": joined, "retention": False, "revisions": False, "weights": False}
            assert (await barograph(*START))[:2] == (0, {"run_id": RUN, "joined": joined})
            if not joined:
                assert (await barograph("schedule", "pause", "forecasts"))[1]["paused"]
            else:
                assert [run["run_id"] for run in (await barograph("run", "list"))[1]] == [RUN]
        assert up.returncode == 0
    assert told[0] == told[1] and told[0]["web_ui"] is None


@asynccontextmanager
async def terminated(process: asyncio.subprocess.Process) -> AsyncGenerator[None]:
    """A process that has ended, and left nothing to read, after the block."""
    try:
        yield
    finally:
        if process.returncode is None:
            process.terminate()
        await process.communicate()
