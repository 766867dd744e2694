"""A run of real processes, one of which is killed: it closes, and its ledger is that of the run that was left alone."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from temporalio.client import WorkflowHandle

from adapters.ledger.engine import Ledger
from adapters.ledger.facts import facts_of
from adapters.ledger.runs import get_run
from adapters.ledger.views import ledger_digest, run_counts
from protocol import names
from protocol.facts import fact_key
from starter.embedded import Ports
from tests.stack import (
    FINAL_LEADS,
    Stack,
    attempts,
    being_done,
    child_of,
    day1_pass,
    final_pass,
    running,
    schedules,
    seen,
)

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(200)]

Disturbance = Callable[[Stack, WorkflowHandle], Awaitable[None]]


@dataclass(frozen=True)
class Sameness:
    """What runs must share to be comparable."""

    ports: Ports
    init_time: datetime


@dataclass(frozen=True)
class Ended:
    digest: str
    outcome: str | None
    commitments: int
    facts: Sequence[tuple[object, ...]]


@pytest.fixture(scope="module")
def same() -> Sameness:
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return Sameness(Ports.free(), midnight - timedelta(days=20))


@pytest.fixture(scope="module")
def undisturbed(same: Sameness, tmp_path_factory: pytest.TempPathFactory) -> Ended:
    ended = asyncio.run(play(tmp_path_factory.mktemp("undisturbed"), same, 10, _nothing))
    assert (ended.outcome, ended.commitments) == ("closed", 3)
    return ended


async def test_a_control_worker_killed_while_miners_compute_and_again_while_scores_are_written(
    tmp_path: Path, same: Sameness, undisturbed: Ended
) -> None:
    async def twice(stack: Stack, run: WorkflowHandle) -> None:
        hotkey = stack.hotkey("trade-wind")
        asked = await child_of(run, stack.client, names.miner_workflow_id(run.id, hotkey))
        await seen(asked, schedules("poll_commitment"))
        job = stack.client.get_workflow_handle(names.miner_job_workflow_id(hotkey, run.id))
        await seen(job, schedules("run_inference"))
        await stack.kill("worker-control")
        day1 = await child_of(run, stack.client, day1_pass(run.id))
        await seen(day1, schedules("fetch_lead"))
        with closing(sqlite3.connect(stack.embedded.folder.root / "ledger.db", isolation_level=None)) as ledger:
            ledger.execute("BEGIN IMMEDIATE")
            await seen(day1, schedules("record_scores", times=2))
            assert await being_done(day1, "record_scores")
            await stack.kill("worker-control")
        await run.result()
        assert await attempts(day1, "record_scores") > 1

    assert await play(tmp_path, same, 15, twice) == undisturbed


async def test_a_scorer_killed_at_its_work_and_then_the_temporal_server(
    tmp_path: Path, same: Sameness, undisturbed: Ended
) -> None:
    """AT-X7: who hangs at a score is killed, and the next attempt scores in another process."""

    async def both(stack: Stack, run: WorkflowHandle) -> None:
        scoring = await _freeze_scorer(stack, run)
        await stack.kill("worker-hybrid")
        lead = await child_of(run, stack.client, final_pass(run.id, FINAL_LEADS[-1]))
        await seen(lead, schedules("fetch_lead"))
        await stack.kill("temporal")
        await run.result()
        assert await attempts(scoring, "score_miners") > 1

    assert await play(tmp_path, same, 10, both) == undisturbed


async def _freeze_scorer(stack: Stack, run: WorkflowHandle) -> WorkflowHandle:
    """Stop the worker in the middle of its work, which takes a tenth of a second; answers the pass that it scores."""
    pid = await stack.supervisor.ready_pid("worker-hybrid")
    for pass_id in (day1_pass(run.id), *(final_pass(run.id, lead) for lead in FINAL_LEADS)):
        scoring = await child_of(run, stack.client, pass_id)
        await seen(scoring, schedules("score_miners"))
        os.kill(pid, signal.SIGSTOP)
        if await being_done(scoring, "score_miners"):
            return scoring
        os.kill(pid, signal.SIGCONT)
    raise AssertionError("every pass was scored before it was seen")


async def play(root: Path, same: Sameness, commit_seconds: int, disturb: Disturbance) -> Ended:
    settings = {"WEATHER_VERIFICATION_WAIT_MINUTES": str(commit_seconds / 60)}
    async with running(root / "state", same.ports, settings) as stack, asyncio.timeout(90):
        run = await stack.start(same.init_time)
        await disturb(stack, run)
        await run.result()
    with Ledger(stack.embedded.folder.ledger_url) as ledger, ledger.read() as session:
        row = get_run(session, run.id)
        assert row is not None
        facts = sorted(fact_key(fact) for fact in facts_of(session, run.id))
        assert len(facts) == len(set(facts))
        return Ended(ledger_digest(session, run.id), row.outcome, run_counts(session, run.id)["commitments"], facts)


async def _nothing(_stack: Stack, _run: WorkflowHandle) -> None:
    return None
