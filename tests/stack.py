"""A small embedded stack of real processes: four miners, one of them a cheat, six leads, two of them scored."""

from __future__ import annotations

import hashlib
import json
import os
import signal
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from importlib import resources
from pathlib import Path

from temporalio.api.enums.v1 import PendingActivityState
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import Client, WorkflowHandle

from activities import task_queues
from activities.messages.run import CampaignRef, ForecastRunInput, ForecastRunResult
from adapters import temporal_server
from adapters.temporal_client import connect
from protocol import names
from protocol.identity import PrivateKey
from starter.embedded import NAMESPACE, REQUESTS, VALIDATOR, EmbeddedStack, MinerPlan, Ports, World
from starter.state_folder import open_state_folder
from starter.supervisor import Event, Limits, Supervisor, log_event, supervise
from workflows.forecast_run import ForecastRun

GRID = "tiny"
LEADS = (6, 12, 18, 24, 30, 36)
FINAL_LEADS = (24, 36)
LEVEL = 500
MINERS = (
    MinerPlan("trade-wind", "skilful", parameters={"skill": 1.4}),
    MinerPlan("stand-still"),
    MinerPlan("bit-flipper", "damped_persistence", "flips_byte"),
    MinerPlan("babbler", cheat="answers_garbage"),
)
HASTE = {"BAROGRAPH_SEAL_GRACE_SECONDS": "1", "BAROGRAPH_HEARTBEAT_TIMEOUT_SECONDS": "3"}
LIMITS = Limits(first_delay_seconds=0.1)


@dataclass(frozen=True)
class Stack:
    """What a test sees and does of it."""

    embedded: EmbeddedStack
    supervisor: Supervisor
    client: Client

    async def start(self, init_time: datetime) -> WorkflowHandle[ForecastRun, ForecastRunResult]:
        """Start the hindcast of a cycle."""
        request = ForecastRunInput(init_time=init_time, campaign=CampaignRef(name="chaos"))
        return await self.client.start_workflow(
            ForecastRun.run, request, id=request.workflow_id, task_queue=task_queues.CONTROL
        )

    async def kill(self, process: str) -> None:
        """SIGKILL; answers when its replacement is ready."""
        pid = await self.supervisor.ready_pid(process)
        os.kill(pid, signal.SIGKILL)
        await self.supervisor.ready_pid(process, other_than=pid)

    def hotkey(self, miner: str) -> str:
        return _key(f"miner-{miner}").hotkey


@asynccontextmanager
async def running(
    root: Path,
    ports: Ports,
    settings: Mapping[str, str],
    on_event: Callable[[Event], None] = log_event,
    *,
    live: bool = False,
) -> AsyncGenerator[Stack]:
    """All processes on a fresh folder; with the same ports every such folder has the same roster.

    For live runs there is a publisher too, and the time of the archive can be set.
    """
    folder = open_state_folder(root, temporal_server.binary_version(temporal_server.find_binary()))
    try:
        grids = written_grid(root / "grids")
        for name in (VALIDATOR, REQUESTS, *(f"miner-{miner.name}" for miner in MINERS)):
            _key(name).save(folder.key_file(name))
        world = World(grid=GRID, grid_folder=grids)
        chosen = {**HASTE, **settings}
        embedded = EmbeddedStack(folder, ports, world, MINERS, settings=chosen, durable=False, publishes=live)
        embedded.write_files()
        if live:
            archive = root / "archive.json"
            archive.write_text(json.dumps(json.loads(archive.read_text()) | {"steered": True}))
        async with supervise(embedded.processes(), LIMITS, folder.lock, on_event) as supervisor:
            yield Stack(embedded, supervisor, await connect(embedded.temporal_address, NAMESPACE))
    finally:
        folder.close()


async def seen(workflow: WorkflowHandle, wanted: Callable[[HistoryEvent], bool]) -> None:
    """Return as soon as an event that is wanted stands in the history."""
    async for event in workflow.fetch_history_events(wait_new_event=True):
        if wanted(event):
            return
    raise AssertionError(f"{workflow.id} is closed and never had the event")


async def child_of(workflow: WorkflowHandle, client: Client, child_id: str) -> WorkflowHandle:
    """The child, as soon as it is started."""

    def starts(event: HistoryEvent) -> bool:
        return event.child_workflow_execution_started_event_attributes.workflow_execution.workflow_id == child_id

    await seen(workflow, starts)
    return client.get_workflow_handle(child_id)


def schedules(activity: str, times: int = 1) -> Callable[[HistoryEvent], bool]:
    """Whether an event schedules this activity, for the `times`-th time in its history."""
    left = iter(range(times - 1, -1, -1))

    def wanted(event: HistoryEvent) -> bool:
        name = event.activity_task_scheduled_event_attributes.activity_type.name
        return name == activity and next(left) == 0

    return wanted


async def being_done(workflow: WorkflowHandle, activity: str) -> bool:
    """True as soon as a worker has taken the scheduled activity up; false if it is done already."""
    while True:
        described = (await workflow.describe()).raw_description
        states = [each.state for each in described.pending_activities if each.activity_type.name == activity]
        if PendingActivityState.PENDING_ACTIVITY_STATE_SCHEDULED not in states:
            return PendingActivityState.PENDING_ACTIVITY_STATE_STARTED in states


async def attempts(workflow: WorkflowHandle, activity: str) -> int:
    """Of the activity in a history: the most that any took."""
    history = [event async for event in workflow.fetch_history_events()]
    scheduled = {event.event_id for event in history if schedules(activity)(event)}
    started = [event.activity_task_started_event_attributes for event in history]
    return max(each.attempt for each in started if each.scheduled_event_id in scheduled)


def day1_pass(run_id: str) -> str:
    return names.pass_workflow_id(run_id, "day1_qc")


def final_pass(run_id: str, lead_hours: int) -> str:
    return names.pass_workflow_id(run_id, "era5_final", lead_hours)


def _key(name: str) -> PrivateKey:
    return PrivateKey.from_bytes(hashlib.sha256(name.encode()).digest())


def written_grid(folder: Path) -> Path:
    """The points of `5p625-small` with one level and few leads."""
    folder.mkdir()
    layout = json.loads((resources.files("protocol") / "layouts" / "5p625-small.json").read_bytes())
    layout |= {"grid": GRID, "lead_time_hours": LEADS, "level_hectopascal": [LEVEL]}
    rules = json.loads((resources.files("weather") / "rules" / "5p625-small.json").read_bytes())
    rules["grid"]["name"] = GRID
    rules["era5_final"]["groups"] = [{"lead_time_hours": FINAL_LEADS, "name": "days-1-2", "weight": 1}]
    for field in rules["era5_final"]["fields"]:
        if field["levels"] != [0]:
            field |= {"levels": [LEVEL], "weights": [1900]}
    for kind, document in (("layout", layout), ("rules", rules)):
        (folder / f"{GRID}.{kind}.json").write_text(json.dumps(document))
    return folder
