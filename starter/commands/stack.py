"""`barograph up`, `demo` and `real`: everything on one machine."""

from __future__ import annotations

import asyncio
import contextlib
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
NewState = Annotated[Path | None, typer.Option(help="State folder; else a new one.")]


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
    from starter import client, schedules
    from starter.embedded_run import running, state_folder
    from starter.supervisor import cancel_on_signals

    cancel_on_signals()
    with state_folder(state) as folder:
        stack = stack_of(folder)
        async with running(stack, _tell_event) as supervisor:
            settings = _settings_of(stack)
            async with client.temporal(settings) as temporal:
                await schedules.apply(temporal, schedules.schedules(settings))
            document = {
                "web_ui": stack.web_ui,
                "temporal": stack.temporal_address,
                "metrics": stack.metrics,
                "ledger": folder.ledger_url,
                "logs": folder.root / "logs",
                "state": folder.root,
            }
            emit(document, as_json=as_json)
            await supervisor.wait()


def _settings_of(stack: EmbeddedStack) -> Settings:
    """Those that schedules need; the environment stays as it is, since processes that start later inherit it."""
    from starter.client import checked_settings
    from starter.embedded import NAMESPACE, NETWORK

    return checked_settings(
        worker_mode="publish",
        temporal_address=stack.temporal_address,
        temporal_namespace=NAMESPACE,
        network=NETWORK,
        object_store=stack.folder.object_store_url,
        ledger_url=stack.folder.ledger_url,
        weights_folder=stack.folder.root,
    )


def _tell_event(event: Event) -> None:
    if event.kind != "started":
        tell(f"{event.process} (pid {event.pid}) {event.kind} {event.detail}".rstrip())


@app.command()
def demo(state: NewState = None, as_json: Json = False) -> None:
    """Play a whole competition with honest miners and cheats, kill a worker on the way, show the ranking."""
    from starter.demo import play

    emit(_played("demo", lambda: play(state, tell)), as_json=as_json)


@app.command()
def real(
    samples: Annotated[Path | None, typer.Option(exists=True, file_okay=False, help="Folder of real samples.")] = None,
    state: NewState = None,
    as_json: Json = False,
) -> None:
    """Score a real ECMWF forecast through the whole system and compare with published numbers."""
    from starter.real import play

    emit(_played("real", lambda: play(samples, state, tell)), as_json=as_json)


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
