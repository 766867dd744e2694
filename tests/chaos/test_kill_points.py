"""KP1 to KP10: live rounds of real processes, killed at named seams; every effect is there exactly once in the end."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from temporalio.client import WorkflowHandle

from activities import task_queues
from activities.messages.run import ForecastRunInput
from activities.messages.weights import WeightsEpochInput
from adapters.ledger.digest import ledger_digest
from adapters.ledger.engine import Ledger
from adapters.ledger.views import run_summary
from adapters.round_backend_server import ReferenceBackend, Trouble
from protocol import names
from starter.embedded import Ports
from tests.activities.backend.conftest import served
from tests.stack import Stack, child_of, running, schedules, seen
from workflows.forecast_run import ForecastRun
from workflows.weights_epoch import WeightsEpoch

pytestmark = [
    pytest.mark.chaos,
    pytest.mark.timeout(400),
    pytest.mark.skipif("BAROGRAPH_LONG" not in os.environ, reason="takes eight minutes: `make chaos`"),
]

SEAMS = Path(__file__).parent / "seams"
TOKEN = "t0ken"
TEMPO, LONG_TEMPO = 60, 150
Disturbance = Callable[[Stack, WorkflowHandle], Awaitable[None]]
KILLED_AT = {
    "KP1 before the roster commits": "adapters.ledger.roster:freeze_roster:after",
    "KP2 call 2 answered, not recorded": "adapters.miner_client:MinerClient.request_forecast:after",
    "KP3 start_round stored, activity not completed": "adapters.round_backend:RoundBackend.call:after",
    "KP4 between two miners of one lead": "adapters.forecast_reader:ForecastReader.fetch_lead:after",
    "KP5 facts committed, activity not completed": "activities.score_records:LedgerScoreRecords.record_scores:after",
    "KP6 round closed, before the next epoch": "activities.run_records:LedgerRunRecords.close_run:after",
    "KP7 sink took the weights, not recorded": "adapters.sinks.file:FileSink.submit:after",
}


@dataclass(frozen=True)
class Sameness:
    """What runs must share to be comparable."""

    ports: Ports
    init_time: datetime


@dataclass(frozen=True)
class Ended:
    """What a round came to: in the ledger, at the backend, in the file of weights."""

    digest: str
    outcome: str | None
    commitments: int
    effects: tuple[str, ...]
    lines: int


@pytest.fixture(scope="module")
def same() -> Sameness:
    now = datetime.now(UTC)
    return Sameness(Ports.free(), now.replace(hour=now.hour - now.hour % 6, minute=0, second=0, microsecond=0))


@pytest.fixture(scope="module")
def undisturbed(same: Sameness, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ended]:
    ended = asyncio.run(play(tmp_path_factory.mktemp("undisturbed"), same))
    assert (ended.outcome, ended.commitments, ended.lines) == ("closed", 3, 1)
    yield ended


@pytest.mark.parametrize("point", KILLED_AT)
async def test_a_worker_killed_at_a_seam_leaves_every_effect_once(
    tmp_path: Path, same: Sameness, undisturbed: Ended, point: str
) -> None:
    tempo = LONG_TEMPO if point.startswith("KP7") else TEMPO
    assert await play(tmp_path, same, seam=KILLED_AT[point], tempo=tempo) == undisturbed
    assert (tmp_path / "killed").exists()


async def test_kp8_finish_round_while_the_backend_is_down(tmp_path: Path, same: Sameness, undisturbed: Ended) -> None:
    async def down_and_killed(stack: Stack, run: WorkflowHandle) -> None:
        await seen(run, schedules("close_run"))
        await seen(run, schedules("deliver_outbox"))
        await stack.kill("worker-publish")

    down = Trouble(method="PUT", matches="finish", status=503, times=3)
    assert await play(tmp_path, same, down_and_killed, troubles=(down,)) == undisturbed


async def test_kp9_in_a_wait(tmp_path: Path, same: Sameness, undisturbed: Ended) -> None:
    async def while_it_waits(stack: Stack, run: WorkflowHandle) -> None:
        hotkey = stack.hotkey("trade-wind")
        await child_of(run, stack.client, names.miner_workflow_id(run.id, hotkey))
        await stack.kill("worker-control")

    assert await play(tmp_path, same, while_it_waits) == undisturbed


async def test_kp10_workers_and_server_at_once(tmp_path: Path, same: Sameness, undisturbed: Ended) -> None:
    async def all_at_once(stack: Stack, run: WorkflowHandle) -> None:
        await seen(run, schedules("seal_run"))
        killed = ("temporal", "worker-control", "worker-hybrid", "worker-publish")
        pids = {name: await stack.supervisor.ready_pid(name) for name in killed}
        for pid in pids.values():
            os.kill(pid, signal.SIGKILL)
        for name, pid in pids.items():
            await stack.supervisor.ready_pid(name, other_than=pid)

    assert await play(tmp_path, same, all_at_once) == undisturbed


async def play(
    root: Path,
    same: Sameness,
    disturb: Disturbance | None = None,
    *,
    seam: str = "",
    troubles: tuple[Trouble, ...] = (),
    tempo: int = TEMPO,
) -> Ended:
    """A live round from its start to the epoch that counts it; a lost publisher is missed after a minute."""
    backend = ReferenceBackend(root / "backend.db", TOKEN)
    backend.befall(*troubles)
    with served(backend.app) as url:
        settings = {
            "PYTHONPATH": str(SEAMS),
            "SEAM": seam,
            "SEAM_DONE": str(root / "killed"),
            "TRUTH_DELAY_HOURS": "-300",
            "WEATHER_VERIFICATION_WAIT_MINUTES": str(20 / 60),
            "BAROGRAPH_MIN_COMMIT_WINDOW_MINUTES": "0.05",
            "BAROGRAPH_ROUND_BACKEND_URL": url,
            "BAROGRAPH_ROUND_BACKEND_TOKEN": TOKEN,
            "BAROGRAPH_WEIGHTS_TEMPO_SECONDS": str(tempo),
            "BAROGRAPH_WEIGHTS_BUFFER_SECONDS": "5",
        }
        async with running(root / "state", same.ports, settings, live=True) as stack, asyncio.timeout(280):
            run = await _start(stack, same.init_time)
            if disturb:
                await disturb(stack, run)
            await run.result()
            await _next_epoch(stack, tempo)
    return _ended(root, run.id, stack, backend)


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


async def _next_epoch(stack: Stack, tempo: int) -> None:
    """The first epoch that begins after the close; epochs have no other clock than this one."""
    now = datetime.now(UTC).timestamp()
    number = int(now - datetime(2026, 1, 1, tzinfo=UTC).timestamp()) // tempo + 1
    begins = datetime(2026, 1, 1, tzinfo=UTC).timestamp() + number * tempo
    await asyncio.sleep(begins - now + 1)
    name = f"weights/{stack.embedded.network}/{number}"
    epoch = WeightsEpochInput(epoch=number)
    await stack.client.execute_workflow(WeightsEpoch.run, epoch, id=name, task_queue=task_queues.CONTROL)


def _ended(root: Path, run_id: str, stack: Stack, backend: ReferenceBackend) -> Ended:
    with Ledger(stack.embedded.folder.ledger_url) as ledger, ledger.read() as session:
        summary = run_summary(session, run_id)
        assert summary is not None
        digest = ledger_digest(session, run_id)
    with backend.connected() as connection:
        effects = sorted(connection.execute("SELECT path FROM resources"))
    lines = (root / "state" / "weights" / f"{stack.embedded.network}.jsonl").read_text().splitlines()
    return Ended(
        digest=digest,
        outcome=summary.run.outcome,
        commitments=summary.commitments,
        effects=tuple(path for (path,) in effects),
        lines=len(lines),
    )
