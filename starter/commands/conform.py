"""`barograph conform`: a validator's questions to one miner."""

from __future__ import annotations

import asyncio
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from starter.commands.options import Json, parse_init_time
from starter.output import FAULT, emit, tell

if TYPE_CHECKING:
    from starter.conform.session import Report
    from workers.settings import Settings

app = typer.Typer()
SIGNED_ANSWER = "request.signed-answer"
LOOPBACK = "127.0.0.0/8,::1/128"
Given = Annotated[str | None, typer.Option(help="Else as /health says.")]


# long: the options of a command
@app.command()
def conform(  # noqa: PLR0913
    url: Annotated[str, typer.Argument(metavar="URL", help="Base URL of the miner.")],
    hotkey: Given = None,
    network: Given = None,
    certificate: Annotated[Path | None, typer.Option(exists=True, dir_okay=False, help="PEM file: a TLS pin.")] = None,
    state: Annotated[Path, typer.Option(help="Folder of this validator.")] = Path(".barograph/conform"),
    listen: Annotated[str, typer.Option(help="Where it takes the miner's push.")] = "127.0.0.1:8455",
    public_url: Annotated[str | None, typer.Option(help="Base URL of that for the miner, if it is another.")] = None,
    push: Annotated[bool, typer.Option(help="Whether the miner must push.")] = True,
    grid: Annotated[str | None, typer.Option(help="Else BAROGRAPH_GRID.")] = None,
    init: Annotated[
        datetime | None, typer.Option(metavar="INIT_TIME", parser=parse_init_time, help="Else 00 UTC two days ago.")
    ] = None,
    gfs_base_url: Annotated[str | None, typer.Option(help="Else BAROGRAPH_GFS_BASE_URLS.")] = None,
    gfs_product: Annotated[str | None, typer.Option(help="Else BAROGRAPH_GFS_PRODUCT.")] = None,
    wait_minutes: Annotated[float | None, typer.Option(help="Time for the forecast.  [default: 60]")] = None,
    as_json: Json = False,
) -> None:
    """Check a running miner against the protocol, with a hindcast of its own; exit 0 only if every check passes."""
    from starter.conform.session import conform
    from starter.conform.validator import Options
    from starter.supervisor import cancel_on_signals

    given = {"grid": grid, "gfs_product": gfs_product, "verification_wait_minutes": wait_minutes}
    given |= {"gfs_base_urls": gfs_base_url}
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    options = Options(
        url=url.rstrip("/"),
        state=state,
        settings=_settings({name: value for name, value in given.items() if value is not None}),
        init_time=init or today - timedelta(days=2),
        tell=tell,
        hotkey=hotkey,
        network=network,
        certificate=certificate,
        listen=listen,
        public_url=public_url,
        push=push,
    )

    async def examining() -> Report:
        cancel_on_signals()
        return await conform(options)

    report = asyncio.run(examining())
    if next(one.result for one in report.checks if one.check == SIGNED_ANSWER) != "pass":
        tell(f"if the miner does not know this validator yet, its registry needs:\n\n{report.registry}")
    emit(report, as_json=as_json, hide=("registry", "page", "seconds"))
    if report.failed or report.skipped:
        raise typer.Exit(FAULT)


def _settings(given: dict[str, object]) -> Settings:
    """Those of the environment, as far as a validator without Temporal has them; a miner on loopback is allowed."""
    from starter.client import checked_settings

    absent = {"network": "unknown", "object_store": "", "temporal_address": "", "temporal_namespace": ""}
    allowed = {} if "BAROGRAPH_EGRESS_ALLOW" in os.environ else {"egress_allow": LOOPBACK}
    return checked_settings(worker_mode="publish", ledger_url="sqlite://", **absent, **allowed, **given)
