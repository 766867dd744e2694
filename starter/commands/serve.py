"""Processes that serve until SIGTERM or SIGINT: exit 0, at a second signal 130 at once."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated

import typer

from starter.commands.options import STATE, Json, State
from starter.output import FAULT, emit
from starter.supervisor import on_signal

app = typer.Typer()
miners = typer.Typer(help="List the registered miners, or host some.", invoke_without_command=True)
archive = typer.Typer(help="A local archive of GFS, ERA5 and climatology.", no_args_is_help=True)
File = typer.Option(exists=True, dir_okay=False)


@app.command()
def worker(
    mode: Annotated[str | None, typer.Option(help="Else BAROGRAPH_WORKER_MODE, else evaluate.")] = None,
) -> None:
    """Run one worker pod; its settings come from the environment."""
    from starter.client import checked_settings
    from workers import pod

    settings = checked_settings(**({"worker_mode": mode} if mode else {}))
    asyncio.run(until_signalled(lambda stop: pod.run(settings, stop)))


@miners.callback()
def list_miners(context: typer.Context, state: State = STATE, as_json: Json = False) -> None:
    """List the registered miners, or host some."""
    if context.invoked_subcommand is not None:
        return
    from starter import client

    columns = {"name", "hotkey", "base_url", "enabled"}
    entries = client.registry(client.client_settings(state)).miners
    emit([entry.model_dump(include=columns) for entry in entries], as_json=as_json)


@miners.command("serve")
def serve_miners(config: Annotated[Path, File]) -> None:
    """Host the miners of a `miners.toml`."""
    from adapters.telemetry import telemetry
    from miner import host
    from miner.settings import load_settings

    settings = load_settings(config)
    with telemetry("barograph-miners"):
        asyncio.run(until_signalled(lambda stop: host.run(settings, stop)))


@miners.command("status")
def miners_status(config: Annotated[Path, File], as_json: Json = False) -> None:
    """What the miners of a `miners.toml` know of the validators' logs; exit 5 if one is convicted."""
    from contextlib import closing

    from miner.jobs import Jobs
    from miner.log_watch import told
    from miner.settings import load_settings

    with closing(Jobs(load_settings(config).data_dir)) as jobs:
        found = told(jobs)
    emit(found, as_json=as_json)
    raise typer.Exit(FAULT if found["convictions"] else 0)


@archive.command("serve")
def serve_archive(settings: Annotated[Path, File]) -> None:
    """Show a synthetic planet in the layouts of NOAA and ERA5."""
    from pydantic import ValidationError

    from adapters.archive_server import app
    from adapters.telemetry import telemetry
    from starter.ports import require_free

    try:
        parsed = app.ArchiveSettings.model_validate_json(settings.read_bytes())
    except ValidationError as error:
        raise typer.BadParameter(f"{settings}: {error}") from error
    require_free(parsed.port, "the archive")
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: sys.exit(0))  # uvicorn ends in order, then raises the signal again
    with telemetry("barograph-archive"):
        app.run(parsed)


async def until_signalled(serve: Callable[[asyncio.Event], Awaitable[None]]) -> None:
    """Serve until the first signal sets the event; the second one leaves at once."""
    stop = asyncio.Event()
    on_signal(stop.set)
    await serve(stop)
