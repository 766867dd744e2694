"""`barograph run`: start runs, and see how they stand and why."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from starter.commands.options import STATE, SUBJECTS, Campaign, InitTime, Json, RunId, State
from starter.output import FAULT, REFUSED, emit, tell
from weather.faults import PlatformFault

if TYPE_CHECKING:
    from activities.messages.run import ForecastRunInput
    from starter.commands.whys import Leaf
    from workers.settings import Settings

app = typer.Typer(help="Start forecast runs, and see how they stand and why.", no_args_is_help=True)
DECIDED = ("empty_roster", "operator", "review")


@app.command()
def start(  # noqa: PLR0913 -- the options of a command
    init_time: InitTime,
    campaign: Campaign = None,
    grid: Annotated[str | None, typer.Option(help="Grid, if not the validator's own.")] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Stay until the run is closed.")] = False,
    state: State = STATE,
    as_json: Json = False,
) -> None:
    """Start the run of an init time, or join the one that is there."""
    from activities.messages.run import CampaignRef, ForecastRunInput
    from adapters.telemetry import command_span
    from starter import client

    settings = client.client_settings(state)
    named = CampaignRef(name=campaign) if campaign else None
    request = ForecastRunInput(init_time=init_time, grid=grid, campaign=named)
    client.check_start(settings, request)
    with command_span("barograph run start"):
        document = asyncio.run(_started(settings, request, wait=wait, quiet=as_json))
    emit(document, as_json=as_json)
    if document.get("outcome") == "void":
        raise typer.Exit(REFUSED if document["outcome_reason"] in DECIDED else FAULT)


@app.command("list")
def list_(state: State = STATE, as_json: Json = False) -> None:
    """The newest runs."""
    from starter import client
    from starter.commands import reports

    with client.reading(client.client_settings(state)) as session:
        emit(reports.runs_listed(session), as_json=as_json)


@app.command()
def status(run_id: RunId, state: State = STATE, as_json: Json = False) -> None:
    """How a run stands: stage, what it waits for, counts."""
    from starter import client
    from starter.commands import reports

    settings = client.client_settings(state)
    with client.reading(settings) as session:
        told = reports.run_told(session, run_id)
    emit(told | asdict(_answer(settings, run_id)[0]), as_json=as_json)


@app.command()
def why(
    subject: Annotated[str, typer.Argument(help=f"{SUBJECTS}.")], state: State = STATE, as_json: Json = False
) -> None:
    """Why a run, a miner in it, an epoch of weights or a miner's share stands where it stands."""
    from starter import client

    leaf, *parts = _answer(client.client_settings(state), subject)
    emit({**asdict(leaf), "parts": [asdict(part) for part in parts]}, as_json=as_json)


@app.command()
def board(run_id: RunId, state: State = STATE, as_json: Json = False) -> None:
    """The leaderboard of a closed run."""
    from starter import client
    from starter.commands import reports

    with client.reading(client.client_settings(state)) as session:
        rows = reports.board(session, run_id)
    emit(rows, as_json=as_json, hide=("hotkey",))


@app.command("metrics")
def metrics_(
    run_id: RunId,
    miner: Annotated[str, typer.Option(help="Name or hotkey, or a baseline such as baseline/climatology.")],
    state: State = STATE,
    as_json: Json = False,
) -> None:
    """Bias, MAE, RMSE, anomaly correlation, skill and activity of a miner by the newest truth, by field and lead."""
    from starter import client
    from starter.commands import reports

    with client.reading(client.client_settings(state)) as session:
        emit(reports.metrics_of(session, run_id, miner), as_json=as_json)


async def _started(settings: Settings, request: ForecastRunInput, *, wait: bool, quiet: bool) -> dict[str, Any]:
    from starter import client

    async with client.temporal(settings) as temporal:
        run, joined = await client.start_run(temporal, request)
        tell(f"{'joined' if joined else 'started'} {request.workflow_id}")
        result = (await client.watched(run, quiet=quiet)).model_dump() if wait else {}
        return {"run_id": request.workflow_id, "joined": joined, **result}


def _answer(settings: Settings, subject: str) -> list[Leaf]:
    """The subject's own leaf, then those of its workflows and of its parts; of what is closed the ledger knows."""
    from starter import client
    from starter.commands.subjects import found
    from starter.commands.whys import Leaf

    with client.reading(settings) as session:
        leaves, workflows = found(session, subject, settings, datetime.now(UTC))
    try:
        live = asyncio.run(client.whys(settings, workflows)) if workflows else []
    except PlatformFault as error:
        if not leaves:
            raise
        live = [Leaf(workflows[0], f"{error}; `barograph up` starts an embedded stack", "worker")]
    if not leaves and live[0].says == client.ABSENT:
        raise typer.BadParameter(f"neither ledger nor Temporal knows {subject}; `barograph run list` shows the runs")
    return [*leaves[:1], *live, *leaves[1:]]
