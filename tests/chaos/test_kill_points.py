"""KP1 to KP10: live rounds of real processes, killed at named seams; every effect is there exactly once in the end."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import combinations
from operator import attrgetter
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import WorkflowFailureError, WorkflowHandle

from activities import task_queues
from activities.messages.run import ForecastRunInput
from activities.messages.weights import WeightsEpochInput
from adapters.ledger.engine import Ledger
from adapters.ledger.runs import get_run
from adapters.ledger.tables.commitments import LogLeafRow
from adapters.ledger.tables.runs import ForecastRunRow
from adapters.ledger.views import ledger_digest, run_counts
from starter.client import failure_of
from starter.embedded import NETWORK, Ports
from tests.activities.backend.conftest import served
from tests.reference_backend import ReferenceBackend, Trouble
from tests.stack import FINAL_LEADS, Stack, day1_pass, final_pass, running, schedules, seen
from workflows.forecast_run import ForecastRun
from workflows.weights_epoch import WeightsEpoch

pytestmark = [
    pytest.mark.chaos,
    pytest.mark.timeout(700),
    pytest.mark.skipif("BAROGRAPH_LONG" not in os.environ, reason="takes many minutes: `make chaos`"),
]

SEAMS = Path(__file__).parent / "seams"
TOKEN = "t0ken"
GENESIS, TEMPO = datetime(2026, 1, 1, tzinfo=UTC), timedelta(seconds=90)
LAST = f"{FINAL_LEADS[-1]:03d}h"
SETTINGS = {
    "WEATHER_VERIFICATION_WAIT_MINUTES": str(20 / 60),
    "BAROGRAPH_MIN_COMMIT_WINDOW_MINUTES": "0.05",
    "BAROGRAPH_ROUND_BACKEND_TOKEN": TOKEN,
    "BAROGRAPH_WEIGHTS_HTTP_TOKEN": TOKEN,
    "BAROGRAPH_WEIGHTS_TEMPO_SECONDS": str(int(TEMPO.total_seconds())),
    "BAROGRAPH_WEIGHTS_BUFFER_SECONDS": "5",
    "BAROGRAPH_DOWNLOADS_SLOTS": "1",
}
KILLED = ("temporal", "worker-control", "worker-hybrid", "worker-publish")
Disturbance = Callable[[Stack, WorkflowHandle], Awaitable[None]]


@dataclass(frozen=True)
class Point:
    """Where a round is killed: a seam at which a worker kills itself, or what a test does to the stack."""

    name: str
    seam: str = ""
    disturb: Disturbance | None = None
    trouble: Trouble | None = None
    last_truth_seconds: int | None = None


@dataclass(frozen=True)
class Ended:
    """What a round came to in ledger, log, backend and file of weights, and how often work was given out for it."""

    digest: str
    outcome: str | None
    commitments: int
    leaves: list[tuple[str, str]]
    effects: list[str]
    weights: list[Any]
    miner_jobs: int
    passes: Counter[str]
    requested_at: datetime | None = field(compare=False)
    deliveries: dict[str, int] = field(compare=False)


Play = Callable[..., Awaitable[tuple[Ended, Ended]]]


async def while_finish_is_retried(stack: Stack, run: WorkflowHandle) -> None:
    await seen(run, schedules("close_run"))
    await seen(run, schedules("deliver_outbox"))
    await stack.kill("worker-publish")


async def in_a_wait_and_over_its_end(stack: Stack, run: WorkflowHandle) -> None:
    """Killed and up again before the truth is due; then stopped until after it, and killed."""
    timers: list[HistoryEvent] = []

    def waits_for_truth(event: HistoryEvent) -> bool:
        timers.extend([event] if LAST.encode() in event.user_metadata.summary.data else [])
        return bool(timers)

    def is_over(event: HistoryEvent) -> bool:
        timers.extend([event] if event.timer_fired_event_attributes.started_event_id == timers[0].event_id else [])
        return len(timers) > 1

    await seen(run, waits_for_truth)
    await stack.kill("worker-control")
    stopped = await stack.supervisor.ready_pid("worker-control")
    os.kill(stopped, signal.SIGSTOP)
    await seen(run, is_over)
    await stack.kill("worker-control")
    due = (
        timers[0].event_time.ToDatetime() + timers[0].timer_started_event_attributes.start_to_fire_timeout.ToTimedelta()
    )
    assert timedelta() <= timers[1].event_time.ToDatetime() - due < timedelta(seconds=5)


async def all_at_once(stack: Stack, run: WorkflowHandle) -> None:
    await seen(run, schedules("seal_run"))
    pids = {name: await stack.supervisor.ready_pid(name) for name in KILLED}
    for pid in pids.values():
        os.kill(pid, signal.SIGKILL)
    for name, pid in pids.items():
        await stack.supervisor.ready_pid(name, other_than=pid)


DOWN = Trouble(method="PUT", matches="finish", status=503, times=3)
POINTS = (
    Point("KP1 before the roster commits", "adapters.ledger.roster:freeze_roster:after"),
    Point("KP2 call 2 answered, not recorded", "adapters.miner_client:MinerClient.request_forecast:after"),
    Point("KP3 start_round stored, activity not completed", "adapters.round_backend:RoundBackend.call:after"),
    Point("KP4 between two miners of one lead", "adapters.forecast_reader:ForecastReader.fetch_lead:before:2"),
    Point(
        "KP5 facts committed, activity not completed", "activities.score_records:LedgerScoreRecords.record_scores:after"
    ),
    Point("KP6 round closed, before the next epoch", "activities.run_records:LedgerRunRecords.close_run:after"),
    Point("KP7 file took the weights, not recorded", "adapters.sinks.file:FileSink.submit:after"),
    Point("KP7 backend took the weights, not recorded", "adapters.sinks.http:HttpSink.submit:after"),
    Point("KP8 finish_round while the backend is down", disturb=while_finish_is_retried, trouble=DOWN),
    Point("KP9 in a wait", disturb=in_a_wait_and_over_its_end, last_truth_seconds=120),
    Point("KP10 workers and server at once", disturb=all_at_once),
)
PAIRS = random.Random("kill points").sample(list(combinations(POINTS, 2)), int(os.environ.get("KILL_PAIRS", "3")))


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Play:
    """Plays a round of the current cycle to which this happens, and answers it with one that was left alone."""
    ports, known = Ports.free(), dict[datetime, Ended]()

    async def one(root: Path, *points: Point) -> tuple[Ended, Ended]:
        now = datetime.now(UTC)
        init_time = now.replace(hour=now.hour - now.hour % 6, minute=0, second=0, microsecond=0)
        if init_time not in known:
            known[init_time] = await play(tmp_path_factory.mktemp("undisturbed"), ports, init_time)
        return await play(root, ports, init_time, *points), known[init_time]

    return one


@pytest.mark.parametrize("point", POINTS, ids=attrgetter("name"))
async def test_a_round_killed_at_a_point_leaves_every_effect_once(tmp_path: Path, played: Play, point: Point) -> None:
    """AT-X1."""
    ended, undisturbed = await played(tmp_path, point)
    counts = (undisturbed.commitments, undisturbed.miner_jobs, len(undisturbed.weights))
    assert (undisturbed.outcome, counts, set(undisturbed.deliveries.values())) == ("closed", (3, 3, 1), {1})
    assert ended == undisturbed
    killed_at = tmp_path / point.seam.partition(":")[0]
    assert killed_at.exists()
    if point.name.startswith("KP1 "):
        assert ended.requested_at
        assert killed_at.stat().st_mtime < ended.requested_at.timestamp() + 1
    if point.name.startswith("KP3"):
        assert ended.deliveries[min(path for path in ended.deliveries if path.startswith("/rounds/"))] > 1


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: " + ".join(point.name for point in pair))
async def test_one_killed_at_two_points_does_too(tmp_path: Path, played: Play, pair: tuple[Point, Point]) -> None:
    """AT-X1: as many random pairs as `KILL_PAIRS` says."""
    ended, undisturbed = await played(tmp_path, *pair)
    assert ended == undisturbed
    assert all((tmp_path / point.seam.partition(":")[0]).exists() for point in pair)


async def play(root: Path, ports: Ports, init_time: datetime, *points: Point) -> Ended:
    """A live round from its start to the first epoch that counts it; with the same ports, of the same roster."""
    backend = ReferenceBackend(root / "backend.db", TOKEN)
    backend.befall(*(point.trouble for point in points if point.trouble))
    seconds = max((point.last_truth_seconds or 0 for point in points), default=0)
    due = datetime.now(UTC) + timedelta(seconds=seconds) - init_time - timedelta(hours=FINAL_LEADS[-1])
    with served(backend.app) as url:
        settings = {
            "PYTHONPATH": str(SEAMS),
            "SEAMS": " ".join(point.seam for point in points),
            "SEAMS_DONE": str(root),
            "TRUTH_DELAY_SECONDS": str(int(due.total_seconds())),
            "BAROGRAPH_ROUND_BACKEND_URL": url,
            "BAROGRAPH_WEIGHTS_HTTP_URL": url,
            **SETTINGS,
        }
        async with running(root / "state", ports, settings, live=True) as stack, asyncio.timeout(600):
            run = await _start(stack, init_time)
            for disturb in filter(None, (point.disturb for point in reversed(points))):
                await disturb(stack, run)
            await run.result()
            await _publish(stack, run.id)
            return await _ended(stack, run.id, backend)


async def _start(stack: Stack, init_time: datetime) -> WorkflowHandle:
    """The archive already knows the weather of the next days."""
    later = (datetime.now(UTC) + timedelta(days=30)).isoformat()
    async with httpx.AsyncClient(timeout=10) as client:
        archive = f"http://127.0.0.1:{stack.embedded.ports.archive}/now"
        (await client.post(archive, json={"now": later})).raise_for_status()
    request = ForecastRunInput(init_time=init_time)
    return await stack.client.start_workflow(
        ForecastRun.run, request, id=request.workflow_id, task_queue=task_queues.CONTROL
    )


async def _publish(stack: Stack, run_id: str) -> None:
    """The round counts in no epoch that began before its close, and in the next one to begin."""
    with Ledger(stack.embedded.folder.ledger_url) as ledger, ledger.read() as session:
        closed_at = _run(session, run_id).closed_at
    assert closed_at is not None
    closed_in = (closed_at - GENESIS) // TEMPO
    with pytest.raises(WorkflowFailureError) as refused:
        await _epoch(stack, closed_in)
    assert failure_of(refused.value).code in ("NothingToPublish", "WeightsNotPublished")
    await _epoch(stack, (datetime.now(UTC) - GENESIS) // TEMPO + 1)


async def _epoch(stack: Stack, number: int) -> None:
    name = f"weights/{NETWORK}/{number}"
    request = WeightsEpochInput(epoch=number)
    await stack.client.execute_workflow(WeightsEpoch.run, request, id=name, task_queue=task_queues.CONTROL)


async def _ended(stack: Stack, run_id: str, backend: ReferenceBackend) -> Ended:
    with Ledger(stack.embedded.folder.ledger_url) as ledger, ledger.read() as session:
        run, counts = _run(session, run_id), run_counts(session, run_id)
        leaves = session.execute(select(LogLeafRow.kind, LogLeafRow.key).where(LogLeafRow.run_id == run_id))
        told, digest = sorted(map(tuple, leaves)), ledger_digest(session, run_id)
    with backend.connected() as connection:
        deliveries = dict(connection.execute("SELECT path, deliveries FROM resources"))
    file = stack.embedded.folder.root / "weights" / f"{NETWORK}.jsonl"
    return Ended(
        digest=digest,
        outcome=run.outcome,
        commitments=counts["commitments"],
        leaves=told,
        effects=sorted(path.rstrip("0123456789") if "/weights/" in path else path for path in deliveries),
        weights=[json.loads(line)["weights"]["shares"] for line in file.read_bytes().splitlines()],
        miner_jobs=(await stack.client.count_workflows("WorkflowType = 'MinerJob'")).count,
        passes=await _work(stack, run_id),
        requested_at=run.requested_at,
        deliveries=deliveries,
    )


async def _work(stack: Stack, run_id: str) -> Counter[str]:
    """How often the passes gave out what; attempts are not counted."""
    given: Counter[str] = Counter()
    for pass_id in (day1_pass(run_id), *(final_pass(run_id, lead) for lead in FINAL_LEADS)):
        async for event in stack.client.get_workflow_handle(pass_id).fetch_history_events():
            given[event.activity_task_scheduled_event_attributes.activity_type.name] += 1
    del given[""]
    return given


def _run(session: Session, run_id: str) -> ForecastRunRow:
    run = get_run(session, run_id)
    assert run is not None
    return run
