"""`barograph run`: start runs, and see how they stand and why."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import typer

from starter.commands.options import STATE, Campaign, InitTime, Json, RunId, State
from starter.output import FAULT, REFUSED, emit, tell
from weather.faults import PlatformFault

if TYPE_CHECKING:
    from activities.messages.run import ForecastRunInput
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
    emit(told | _answers(settings, told, [run_id])[run_id], as_json=as_json)


@app.command()
def why(
    run_id: RunId,
    miner: Annotated[str | None, typer.Option(metavar="NAME_OR_HOTKEY", help="Only this miner, every fault.")] = None,
    state: State = STATE,
    as_json: Json = False,
) -> None:
    """Why a run, its passes and its miners stand where they stand."""
    from protocol.names import miner_workflow_id
    from starter import client
    from starter.commands import reports

    settings = client.client_settings(state)
    with client.reading(settings) as session:
        told = reports.run_told(session, run_id)
        hotkey = reports.hotkey_of(session, run_id, miner) if miner else None
        parts = [miner_workflow_id(run_id, hotkey)] if hotkey else reports.open_passes(session, run_id)
        miners, faults = reports.miners_told(session, run_id, hotkey), reports.faults_told(session, run_id, hotkey)
    answers = _answers(settings, told, [run_id, *parts])
    shown = {name: told.get(name) for name in ("run_id", "status", "outcome", "outcome_reason", "why")} | answers.pop(
        run_id
    )
    waiting = [{"workflow_id": workflow_id, **answer} for workflow_id, answer in answers.items()]
    emit({**shown, "waiting": waiting, "miners": miners, "faults": faults}, as_json=as_json)


@app.command()
def board(run_id: RunId, state: State = STATE, as_json: Json = False) -> None:
    """The leaderboard of a closed run."""
    from starter import client
    from starter.commands import reports

    with client.reading(client.client_settings(state)) as session:
        rows = reports.board(session, run_id)
        if not rows and not reports.run_told(session, run_id):
            raise _unknown(run_id)
    emit(rows, as_json=as_json, hide=("hotkey",))


async def _started(settings: Settings, request: ForecastRunInput, *, wait: bool, quiet: bool) -> dict[str, Any]:
    from starter import client

    async with client.temporal(settings) as temporal:
        run = await client.start_run(temporal, request)
        tell(f"{'joined' if run.joined else 'started'} {request.workflow_id}")
        document: dict[str, Any] = {"run_id": request.workflow_id, "joined": run.joined}
        if wait:
            result = await client.watched(run.handle, quiet=quiet)
            document |= result.model_dump()
        return document


def _answers(settings: Settings, told: dict[str, Any], workflow_ids: list[str]) -> dict[str, dict[str, Any]]:
    """Why each workflow stands where it stands, the run first; of a closed run the ledger knows."""
    from activities.messages.status import Why
    from starter import client

    run_id = workflow_ids[0]
    if told.get("outcome"):
        closed = Why(stage="closed", waiting_for=f"nothing: {told['outcome']} ({told['outcome_reason']})")
        return {run_id: closed.model_dump()}
    try:
        answers = asyncio.run(client.whys(settings, workflow_ids))
    except PlatformFault as error:
        if not told:
            raise
        answers = dict.fromkeys(workflow_ids, Why(stage="unknown", waiting_for=str(error), helps="barograph up"))
    if not told and answers[run_id].stage == client.ABSENT:
        raise _unknown(run_id)
    return {workflow_id: answer.model_dump() for workflow_id, answer in answers.items()}


def _unknown(run_id: str) -> typer.BadParameter:
    return typer.BadParameter(f"neither ledger nor Temporal knows {run_id}; `barograph run list` shows the runs")
