"""`barograph demo`: a whole competition on one machine, with cheats, and a worker killed on the way."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pydantic import BaseModel, ConfigDict
from temporalio.api.enums.v1 import PendingActivityState
from temporalio.client import Client, WorkflowHandle
from temporalio.service import RPCError

from activities import task_queues
from activities.messages.run import CampaignRef, ForecastRunInput, ForecastRunResult
from adapters import temporal_server
from adapters.ledger.engine import Ledger
from adapters.ledger.values import FaultRecord
from adapters.ledger.views import board_rows, faults_by_miner
from adapters.temporal_client import connect
from protocol import names
from starter.embedded import NAMESPACE, EmbeddedStack, MinerPlan, Ports, World
from starter.embedded_run import running
from starter.state_folder import StateFolder, open_state_folder
from starter.supervisor import Supervisor
from workflows.forecast_run import ForecastRun

CAMPAIGN = "demo"
DAYS_AGO = 20
LEADS = range(24, 241, 24)
WATCH_SECONDS = 0.02
REPLACED_WITHIN_SECONDS = 60
MINERS = (
    MinerPlan("trade-wind", "skilful", parameters={"skill": 1.4}),
    MinerPlan("jet-stream", "skilful", parameters={"skill": 1.0}),
    MinerPlan("sea-breeze", "skilful", parameters={"skill": 0.7}),
    MinerPlan("slow-fade", "damped_persistence"),
    MinerPlan("stand-still", "persistence"),
    MinerPlan("old-normal", "climatology"),
    MinerPlan("copycat", "copied_gfs"),
    MinerPlan("bit-flipper", "skilful", "flips_byte", parameters={"skill": 1.2}),
    MinerPlan("late-comer", "persistence", "commits_late"),
    MinerPlan("babbler", "persistence", "answers_garbage"),
    MinerPlan("ghost", "persistence", "never_answers"),
)
HASTE = {
    "WEATHER_VERIFICATION_WAIT_MINUTES": "0.5",
    "BAROGRAPH_SEAL_GRACE_SECONDS": "5",
    "BAROGRAPH_HEARTBEAT_TIMEOUT_SECONDS": "5",
}


class Row(BaseModel):
    """Frozen, and the same in the table and in JSON."""

    model_config = ConfigDict(frozen=True)


class Ranked(Row):
    rank: int | None
    miner: str
    kind: str
    score: float
    code: str | None


class FaultLine(Row):
    miner: str
    code: str
    cause: str
    scope: str
    detail: str


class Killed(Row):
    process: str
    pid: int
    during: str
    replaced_by: int


class DemoReport(Row):
    """What the demo shows."""

    run_id: str
    outcome: str
    seconds: float
    ranking: list[Ranked]
    faults: list[FaultLine]
    killed_workers: list[Killed]
    web_ui: str
    artefacts: str


@dataclass(frozen=True)
class DemoOptions:
    """Where the demo keeps its state; a new folder if none is given. `tell` hears of each step."""

    state: Path | None = None
    tell: Callable[[str], None] = field(default=lambda _step: None)


async def play(options: DemoOptions) -> DemoReport:
    """Start everything, run one hindcast with honest miners and cheats, kill a worker, report."""
    began = time.monotonic()
    root = options.state or Path(".barograph") / f"demo-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    folder = open_state_folder(root, temporal_server.binary_version(temporal_server.find_binary()))
    try:
        stack = EmbeddedStack(folder, Ports.free(ui=True), World(), MINERS, settings=HASTE, durable=False)
        options.tell(f"starting {len(stack.processes())} processes in {folder.root}")
        async with running(stack) as supervisor:
            client = await connect(stack.temporal_address, NAMESPACE)
            options.tell(f"Temporal Web UI: {_web_ui(stack)}")
            options.tell(f"Prometheus metrics: {', '.join(stack.metrics.values())}")
            handle = await _start(client)
            options.tell(f"{handle.id} is running; {len(MINERS)} miners were asked")
            watching = asyncio.create_task(kill_while_scoring(client, supervisor, handle.id))
            result = await handle.result()
            killed = await asyncio.wait_for(watching, REPLACED_WITHIN_SECONDS)
        return _report(stack, folder, result, [killed], time.monotonic() - began)
    finally:
        folder.close()


def cycle() -> datetime:
    """A 00 UTC cycle whose reanalysis is there for every lead."""
    return datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=DAYS_AGO)


async def _start(client: Client) -> WorkflowHandle[ForecastRun, ForecastRunResult]:
    request = ForecastRunInput(init_time=cycle(), campaign=CampaignRef(name=CAMPAIGN))
    return await client.start_workflow(ForecastRun.run, request, id=request.workflow_id, task_queue=task_queues.CONTROL)


async def kill_while_scoring(client: Client, supervisor: Supervisor, run_id: str) -> Killed:
    """SIGKILL the worker that is seen scoring; answers when its replacement is ready."""
    passes = [names.pass_workflow_id(run_id, "day1_qc")]
    passes += [names.pass_workflow_id(run_id, "era5_final", lead) for lead in LEADS]
    while True:
        for workflow_id in passes:
            if await _is_scoring(client, workflow_id):
                pid = await supervisor.ready_pid("worker-hybrid")
                os.kill(pid, signal.SIGKILL)
                replaced_by = await supervisor.ready_pid("worker-hybrid", other_than=pid)
                return Killed(process="worker-hybrid", pid=pid, during=workflow_id, replaced_by=replaced_by)
        await asyncio.sleep(WATCH_SECONDS)


async def _is_scoring(client: Client, workflow_id: str) -> bool:
    try:
        described = await client.get_workflow_handle(workflow_id).describe()
    except RPCError:
        return False
    return any(
        pending.activity_type.name == "score_miners"
        and pending.state == PendingActivityState.PENDING_ACTIVITY_STATE_STARTED
        for pending in described.raw_description.pending_activities
    )


def _report(
    stack: EmbeddedStack, folder: StateFolder, result: ForecastRunResult, killed: list[Killed], seconds: float
) -> DemoReport:
    kinds = {plan.name: plan.cheat or plan.kind for plan in stack.miners}
    with Ledger(folder.ledger_url) as ledger, ledger.read() as session:
        rows, faults = board_rows(session, result.run_id), faults_by_miner(session, result.run_id)
    return DemoReport(
        run_id=result.run_id,
        outcome=f"{result.outcome} ({result.outcome_reason}, coverage {result.coverage})",
        seconds=round(seconds, 1),
        ranking=[
            Ranked(
                rank=row.rank,
                miner=row.name,
                kind=kinds.get(row.name, "entrant"),
                score=row.score_nano / 1e9,
                code=row.code,
            )
            for row in rows
        ],
        faults=[line for row in rows for line in _lines(row.name, faults.get(row.hotkey, []))],
        killed_workers=killed,
        web_ui=_web_ui(stack),
        artefacts=str(folder.root),
    )


def _lines(miner: str, faults: list[FaultRecord]) -> list[FaultLine]:
    """One line a code, with the first evidence of it."""
    codes: dict[str, list[FaultRecord]] = {}
    for fault in faults:
        codes.setdefault(fault.code, []).append(fault)
    return [
        FaultLine(miner=miner, code=code, cause=same[0].cause, scope=_scope(same), detail=_evidence(same[0]))
        for code, same in codes.items()
    ]


def _scope(faults: list[FaultRecord]) -> str:
    if any(fault.pass_ == "*" for fault in faults):
        return "run"
    parts = sorted({f"{fault.pass_}{f' {fault.lead_hours} h' if fault.lead_hours > 0 else ''}" for fault in faults})
    return f"{len(faults)} of {', '.join(parts)}"


def _evidence(fault: FaultRecord) -> str:
    found = [f"found {fault.found[:16]}"] if fault.found else []
    expected = [f"expected {fault.expected[:16]}"] if fault.expected else []
    return "; ".join([fault.detail, *found, *expected])


def _web_ui(stack: EmbeddedStack) -> str:
    return f"http://127.0.0.1:{stack.ports.ui}"
