"""`barograph schedule` and `barograph retention`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from starter.commands.options import STATE, Json, State
from starter.output import emit, tell

if TYPE_CHECKING:
    from temporalio.client import Client, ScheduleHandle

    from activities.messages.retention import RetentionInput, RetentionResult
    from workers.settings import Settings

app = typer.Typer(help="What starts by itself, and when.", no_args_is_help=True)
retention = typer.Typer(help="Removal of objects that nothing needs any more.", no_args_is_help=True)


Name = Annotated[Literal["forecasts", "weights", "retention", "revisions"], typer.Argument()]
Note = Annotated[str | None, typer.Option(help="Why, for those who list it.")]
Instant = Annotated[datetime, typer.Option(formats=["%Y-%m-%dT%H:%M:%SZ"], help="Such as 2026-11-22T21:30:00Z.")]
Day = Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="[default: today, UTC]")]


@app.command()
def apply(state: State = STATE, as_json: Json = False) -> None:
    """Create the schedules of this validator, or update what differs; a pause and its note stay."""
    from starter import schedules

    emit(
        _asked(state, lambda client, settings: schedules.apply(client, schedules.schedules(settings))), as_json=as_json
    )


@app.command("list")
def list_(state: State = STATE, as_json: Json = False) -> None:
    """How the schedules stand."""
    from starter import schedules

    emit(_asked(state, lambda client, _: schedules.listed(client)), as_json=as_json)


@app.command()
def pause(name: Name, note: Note = None, state: State = STATE, as_json: Json = False) -> None:
    """Start nothing more until it is unpaused; what was started goes on."""
    emit(_changed(state, name, lambda handle: handle.pause(note=note)), as_json=as_json)


@app.command()
def unpause(name: Name, note: Note = None, state: State = STATE, as_json: Json = False) -> None:
    """Go on; what was due in the meantime is not made up for."""
    emit(_changed(state, name, lambda handle: handle.unpause(note=note)), as_json=as_json)


@app.command()
def backfill(name: Name, start: Instant, end: Instant, state: State = STATE, as_json: Json = False) -> None:
    """Start what was due from a time to a time, both included; what was started then is joined."""
    from starter.schedules import period

    emit(_changed(state, name, lambda handle: handle.backfill(period(start, end))), as_json=as_json)


@retention.command("run")
def run_retention(
    day: Day = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would be removed.")] = False,
    state: State = STATE,
    as_json: Json = False,
) -> None:
    """Mark what nothing needs, and remove what has been marked for a week; joins the removal of that day."""
    from activities.messages.retention import RetentionInput

    request = RetentionInput(day=(day or datetime.now(UTC)).date(), dry_run=dry_run)
    emit(_asked(state, lambda client, _: _removed(client, request)), as_json=as_json)


def _changed(state: Path, name: str, change: Callable[[ScheduleHandle], Awaitable[None]]) -> Any:
    from starter.schedules import told

    async def change_and_tell(client: Client, _: Settings) -> dict[str, object] | None:
        await change(client.get_schedule_handle(name))
        return await told(client, name)

    return _asked(state, change_and_tell)


def _asked(state: Path, ask: Callable[[Client, Settings], Awaitable[Any]]) -> Any:
    from starter import client

    settings = client.client_settings(state)

    async def asking() -> Any:
        async with client.temporal(settings) as temporal:
            return await ask(temporal, settings)

    return asyncio.run(asking())


async def _removed(client: Client, request: RetentionInput) -> RetentionResult:
    from temporalio.common import WorkflowIDReusePolicy

    from starter.client import FAILED_ONLY, start_or_join
    from workflows.retention import Retention

    again = WorkflowIDReusePolicy.ALLOW_DUPLICATE if request.dry_run else FAILED_ONLY
    handle, joined = await start_or_join(client, Retention.run, request, again)
    if joined:
        tell(f"joined {request.workflow_id}")
    return await handle.result()
