"""`barograph demo`: a whole competition on one machine, with cheats, and a worker killed on the way."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from temporalio.api.enums.v1 import PendingActivityState
from temporalio.client import Client
from temporalio.service import RPCError

from activities.messages.run import CampaignRef, ForecastRunInput
from adapters.ledger.engine import Ledger
from adapters.ledger.runs import get_run
from adapters.ledger.values import FaultRecord
from adapters.ledger.views import board_rows, faults_by_miner
from protocol import names
from starter.client import start_run
from starter.commands.subjects import scope
from starter.embedded import EmbeddedStack, MinerPlan, Ports, World
from starter.embedded_run import Tell, playing
from starter.state_folder import StateFolder
from starter.supervisor import Supervisor
from weather.faults import ConfigurationInvalid

DAYS_AGO = 20
LEADS = range(24, 241, 24)
KILLED = "worker-hybrid"
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
Document = dict[str, Any]


async def play(state: Path | None, tell: Tell) -> Document:
    """Start everything, run one hindcast with honest miners and cheats, kill a worker, report."""
    began = time.monotonic()
    async with playing("demo", state, _stack, tell) as (stack, client, supervisor):
        tell(f"Temporal Web UI: {stack.web_ui}")
        tell(f"Prometheus metrics: {', '.join(stack.metrics.values())}")
        request = ForecastRunInput(init_time=cycle(), campaign=CampaignRef(name="demo"))
        _require_new(stack, request.workflow_id)
        run, _ = await start_run(client, request)
        tell(f"{run.id} is running; {len(MINERS)} miners were asked")
        watching = asyncio.create_task(kill_while_scoring(client, supervisor, run.id))
        result = await run.result()
        killed = await asyncio.wait_for(watching, REPLACED_WITHIN_SECONDS)
    return {
        "run_id": result.run_id,
        "outcome": f"{result.outcome} ({result.outcome_reason}, coverage {result.coverage})",
        "seconds": round(time.monotonic() - began, 1),
        **_board(stack, result.run_id),
        "killed_workers": [killed],
        "web_ui": stack.web_ui,
        "artefacts": stack.folder.root,
    }


def _stack(folder: StateFolder) -> EmbeddedStack:
    return EmbeddedStack(folder, Ports.free(ui=True), World(), MINERS, settings=HASTE, durable=False)


def _require_new(stack: EmbeddedStack, run_id: str) -> None:
    with Ledger(stack.folder.ledger_url) as ledger, ledger.read() as session:
        if get_run(session, run_id):
            raise ConfigurationInvalid(f"{stack.folder.root} has {run_id} already: name another folder by --state")


def cycle() -> datetime:
    """A 00 UTC cycle whose reanalysis is there for every lead."""
    return datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=DAYS_AGO)


async def kill_while_scoring(client: Client, supervisor: Supervisor, run_id: str) -> Document:
    """SIGKILL the worker that is seen scoring; answers when its replacement is ready."""
    passes = [names.pass_workflow_id(run_id, "day1_qc")]
    passes += [names.pass_workflow_id(run_id, "era5_final", lead) for lead in LEADS]
    while True:
        for workflow_id in passes:
            if await _is_scoring(client, workflow_id):
                pid = await supervisor.ready_pid(KILLED)
                os.kill(pid, signal.SIGKILL)
                replaced_by = await supervisor.ready_pid(KILLED, other_than=pid)
                return {"process": KILLED, "pid": pid, "during": workflow_id, "replaced_by": replaced_by}
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


def _board(stack: EmbeddedStack, run_id: str) -> Document:
    kinds = {plan.name: plan.cheat or plan.kind for plan in stack.miners}
    with Ledger(stack.folder.ledger_url) as ledger, ledger.read() as session:
        rows, faults = board_rows(session, run_id), faults_by_miner(session, run_id)
    ranking = [
        {
            "rank": row.rank,
            "miner": row.name,
            "kind": kinds.get(row.name, "entrant"),
            "score": row.score_nano / 1e9,
            "code": row.code,
        }
        for row in rows
    ]
    return {
        "ranking": ranking,
        "faults": [line for row in rows for line in _lines(row.name, faults.get(row.hotkey, []))],
    }


def _lines(miner: str, faults: list[FaultRecord]) -> list[Document]:
    """One line a code, with the first evidence of it."""
    codes: dict[str, list[FaultRecord]] = {}
    for fault in faults:
        codes.setdefault(fault.code, []).append(fault)
    return [
        {"miner": miner, "code": code, "cause": same[0].cause, "scope": scope(same), "detail": _evidence(same[0])}
        for code, same in codes.items()
    ]


def _evidence(fault: FaultRecord) -> str:
    found = [f"found {fault.found[:16]}"] if fault.found else []
    expected = [f"expected {fault.expected[:16]}"] if fault.expected else []
    return "; ".join([fault.detail, *found, *expected])
