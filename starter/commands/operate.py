"""`barograph doctor`, `barograph db` and `barograph ledger`."""

from __future__ import annotations

import asyncio
import os
from typing import Annotated

import typer

from starter.commands.options import STATE, Json, RunId, State
from starter.output import emit

app = typer.Typer()
database = typer.Typer(help="The ledger's schema.", no_args_is_help=True)
ledger = typer.Typer(help="What the ledger holds.", no_args_is_help=True)


@app.command()
def doctor(state: State = STATE, as_json: Json = False) -> None:
    """Look at each part that a process needs; the first failing one gives the exit code."""
    from starter import client
    from starter.doctor import checks

    own = os.environ.get("BAROGRAPH_NETWORK")
    found = asyncio.run(checks(client.checked_settings() if own else client.client_settings(state)))
    emit(found, as_json=as_json)
    raise typer.Exit(next((check.exit_code for check in found if check.exit_code), 0))


@database.command()
def upgrade(
    url: Annotated[str | None, typer.Option(help="Else that of the settings.")] = None,
    state: State = STATE,
    as_json: Json = False,
) -> None:
    """Bring the ledger's schema to this version's."""
    from adapters.ledger import engine
    from starter import client

    url = url or client.client_settings(state).ledger_url or ""
    before, head = engine.revisions(url)
    engine.upgrade(url)
    emit({"ledger": engine.address(url), "before": before, "after": head}, as_json=as_json)


@ledger.command()
def digest(run_id: RunId, state: State = STATE, as_json: Json = False) -> None:
    """One digest of all that a run came to; equal on two machines if their facts, faults and scores are."""
    from adapters.ledger.views import ledger_digest
    from starter import client
    from starter.commands.reports import require_run

    with client.reading(client.client_settings(state)) as session:
        require_run(session, run_id)
        emit({"run_id": run_id, "digest": ledger_digest(session, run_id)}, as_json=as_json)
