"""`barograph run hold, release, rerun, skip, accept, void`: what operators do to a live run."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated
from uuid import uuid4

import typer
from pydantic import ValidationError

from starter.commands.options import STATE, Json, RunId, State
from starter.output import emit
from weather.faults import InterventionRefused, PlatformFault

if TYPE_CHECKING:
    from activities.messages.operator import Intervention, InterventionReceipt
    from workers.settings import Settings

ANSWER_WITHIN = timedelta(minutes=5)
VERBS = {
    "hold": "Begin no new pass and do not close, until it is released.",
    "release": "End a hold: all that is due goes on at once.",
    "rerun": "Score passes once more, or verify one miner's commitment once more.",
    "skip": "Void the cases of a scope for all miners, settled ones too.",
    "accept": "Let stand what is settled, void what is open, wait no longer; a failed review passes.",
    "void": "End the run as void for all miners.",
}
SCOPE = "`run`, or pass:, lead:, variable:, level:, region:, miner: joined by commas; a miner by name or hotkey."
Actor = Annotated[str, typer.Option(help="Who acts.")]
Reason = Annotated[str, typer.Option(help="Why, in 1 to 500 characters.")]
Scope = Annotated[str | None, typer.Option(help=SCOPE)]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only tell what it would change.")]
RequestId = Annotated[str | None, typer.Option(help="The same for each repetition of one request.")]


def add_to(app: typer.Typer) -> None:
    """Give the application a command for each verb."""
    for verb, about in VERBS.items():
        app.command(verb, help=about)(_command(verb))


def _command(verb: str) -> Callable[..., None]:
    def act(  # noqa: PLR0913 -- the options of a command
        run_id: RunId,
        actor: Actor,
        reason: Reason,
        scope: Scope = None,
        dry_run: DryRun = False,
        request_id: RequestId = None,
        state: State = STATE,
        as_json: Json = False,
    ) -> None:
        from activities.messages.operator import Intervention
        from starter import client

        settings = client.client_settings(state)
        values = {"actor": actor, "reason": reason, "dry_run": dry_run, "request_id": request_id or str(uuid4())}
        try:
            asked = Intervention.model_validate(values | {"scope": scope and _scope(settings, run_id, scope)})
        except ValidationError as error:
            first = error.errors()[0]
            raise typer.BadParameter(f"{first['loc'][0]}: {first['msg']}") from error
        receipt = asyncio.run(_updated(settings, run_id, verb, asked))
        emit(receipt if as_json else _told(receipt), as_json=as_json)

    return act


async def _updated(settings: Settings, run_id: str, verb: str, asked: Intervention) -> InterventionReceipt:
    from temporalio.client import WorkflowUpdateRPCTimeoutOrCancelledError
    from temporalio.service import RPCError, RPCStatusCode

    from activities.messages.operator import InterventionReceipt
    from starter import client

    async with client.temporal(settings) as temporal:
        try:
            return await temporal.get_workflow_handle(run_id).execute_update(
                verb,
                asked,
                id=None if asked.dry_run else asked.request_id,
                result_type=InterventionReceipt,
                rpc_timeout=ANSWER_WITHIN,
            )
        except WorkflowUpdateRPCTimeoutOrCancelledError as error:
            again = f"repeat it with --request-id {asked.request_id}"
            raise PlatformFault(f"no `control` worker answers within {ANSWER_WITHIN}; {again}") from error
        except RPCError as error:
            if error.status != RPCStatusCode.NOT_FOUND:
                raise
            raise InterventionRefused(f"no open run {run_id}") from error


def _scope(settings: Settings, run_id: str, scope: str) -> str:
    """The scope with the hotkey of a miner that is named."""
    from starter import client
    from starter.commands import reports

    with client.reading(settings) as session:
        return re.sub("(?<=miner:)[^,]+", lambda miner: reports.hotkey_of(session, run_id, miner[0]), scope)


def _told(receipt: InterventionReceipt) -> dict[str, object]:
    """The receipt with its blast radius, and the moves of ranks as a table."""
    told = receipt.model_dump(exclude={"blast_radius", "reason"}) | receipt.blast_radius.model_dump()
    moved = [dict(zip(("miner", "from", "to"), move, strict=True)) for move in receipt.blast_radius.ranks_moved]
    return {**told, "ranks_moved": moved}
