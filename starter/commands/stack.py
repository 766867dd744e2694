"""`barograph up`, `demo` and `real`: everything on one machine."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from starter.commands.options import STATE, Json, State
from starter.output import emit, tell

if TYPE_CHECKING:
    from starter.embedded import EmbeddedStack
    from starter.state_folder import StateFolder
    from starter.supervisor import Event
    from workers.settings import Settings

T = TypeVar("T")
app = typer.Typer()


@app.command()
def up(
    state: State = STATE,
    grid: Annotated[str | None, typer.Option(help="Grid of the first start.  [default: 5p625-small]")] = None,
    port_base: Annotated[
        int | None, typer.Option(min=1024, max=65528, help="First of eight ports; else free ones, kept.")
    ] = None,
    no_ui: Annotated[bool, typer.Option("--no-ui", help="Without the Temporal Web UI.")] = False,
    as_json: Json = False,
) -> None:
    """Run Temporal, archive, workers and a few miners until Ctrl-C; started again it goes on."""
    from starter.embedded_run import stack_in

    with contextlib.suppress(asyncio.CancelledError):
        asyncio.run(_up(state, lambda folder: stack_in(folder, grid, port_base, ui=not no_ui), as_json=as_json))
    tell("stopped; all is kept in the state folder")


async def _up(state: Path, stack_of: Callable[[StateFolder], EmbeddedStack], *, as_json: bool) -> None:
    from adapters import temporal_server
    from starter import client, schedules
    from starter.embedded_run import running
    from starter.state_folder import open_state_folder
    from starter.supervisor import cancel_on_signals

    cancel_on_signals()
    version = temporal_server.binary_version(temporal_server.find_binary())
    with contextlib.closing(open_state_folder(state, version)) as folder:
        stack = stack_of(folder)
        async with running(stack, _tell_event) as supervisor:
            settings = _settings_of(stack)
            async with client.temporal(settings) as temporal:
                await schedules.apply(temporal, schedules.schedules(settings))
            document = {
                "web_ui": f"http://127.0.0.1:{stack.ports.ui}" if stack.ports.ui else None,
                "temporal": stack.temporal_address,
                "metrics": stack.metrics,
                "ledger": folder.ledger_url,
                "logs": folder.root / "logs",
                "state": folder.root,
            }
            emit(document, as_json=as_json)
            await supervisor.wait()


def _settings_of(stack: EmbeddedStack) -> Settings:
    """Of `control`; the environment stays as it is, since processes that are started again inherit it."""
    from starter.client import checked_settings

    before = dict(os.environ)
    os.environ.update(stack.environment("control"))
    try:
        return checked_settings()
    finally:
        os.environ.clear()
        os.environ.update(before)


def _tell_event(event: Event) -> None:
    if event.kind != "started":
        tell(f"{event.process} (pid {event.pid}) {event.kind} {event.detail}".rstrip())


@app.command()
def demo(
    state: Annotated[Path | None, typer.Option(help="State folder; else a new one.")] = None, as_json: Json = False
) -> None:
    """Play a whole competition with honest miners and cheats, kill a worker on the way, show the ranking."""
    from starter.demo import DemoOptions, play

    emit(_played("demo", lambda: play(DemoOptions(state=state, tell=tell))), as_json=as_json)


@app.command()
def real(
    samples: Annotated[Path | None, typer.Option(exists=True, file_okay=False, help="Folder of real samples.")] = None,
    state: Annotated[Path | None, typer.Option(help="State folder; else a new one.")] = None,
    as_json: Json = False,
) -> None:
    """Score a real ECMWF forecast through the whole system and compare with published numbers."""
    from starter.real import RealOptions, play

    emit(_played("real", lambda: play(RealOptions(samples=samples, state=state, tell=tell))), as_json=as_json)


def _played(command: str, play: Callable[[], Awaitable[T]]) -> T:
    from adapters.telemetry import command_span
    from starter.client import translated
    from starter.supervisor import cancel_on_signals

    async def playing() -> T:
        cancel_on_signals()
        with translated():
            return await play()

    with command_span(f"barograph {command}"):
        return asyncio.run(playing())
