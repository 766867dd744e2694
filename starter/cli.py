"""`barograph`: the command line."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import NoReturn

import typer

from starter.commands import conform, operate, runs, schedules, serve, stack, verbs, verify
from starter.output import ERRORS, EXIT_CODES, report

app = typer.Typer(
    name="barograph",
    help="Weather forecasts, committed before the weather and scored after it, on Temporal.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for commands in (stack.app, serve.app, operate.app, verify.app, conform.app):
    app.add_typer(commands)
app.command("why")(runs.why)
runs.app.command("dossier")(verify.dossier)
runs.app.command("bundle")(verify.bundle)
verbs.add_to(runs.app)
app.add_typer(runs.app, name="run")
app.add_typer(serve.miners, name="miners")
app.add_typer(serve.archive, name="archive")
app.add_typer(operate.database, name="db")
app.add_typer(operate.ledger, name="ledger")
app.add_typer(schedules.app, name="schedule")
app.add_typer(schedules.retention, name="retention")


def run(arguments: Sequence[str] | None = None) -> int:
    """Do what the arguments say; answers the exit code."""
    try:
        return app(arguments, standalone_mode=False) or 0
    except ERRORS as error:
        return report(error)


def main() -> NoReturn:
    """Leave without the interpreter's own end, which threads of Temporal's core may turn into an abort."""
    code = run()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
