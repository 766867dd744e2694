"""Arguments and options that several commands have."""

from __future__ import annotations

import contextlib
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from protocol import names

STATE = Path(".barograph")
CYCLE = "2026-11-22T18Z"
SUBJECTS = "a run, <run>/miner/<name or hotkey>, weights/<network>/<epoch>, or the name or hotkey of a miner"


def parse_run_id(text: str) -> str:
    """A full run id, or the init time of a live run."""
    expected = f"an init time like {CYCLE} or an id like campaign/demo/forecast/{CYCLE}"
    return _first_id([text, f"forecast/{text}"], text, expected)


def parse_init_time(text: str) -> datetime:
    run_id = _first_id([f"forecast/{text}"], text, f"a 00, 06, 12 or 18 UTC cycle like {CYCLE}")
    return names.parse_run_id(run_id).init_time


def parse_campaign(text: str) -> str:
    _first_id([f"campaign/{text}/forecast/{CYCLE}"], text, "3 to 29 of a-z, 0-9 and -")
    return text


def find_run_id(*candidates: str) -> str | None:
    """The first of them that is a run id."""
    for candidate in candidates:
        with contextlib.suppress(ValueError):
            names.parse_run_id(candidate)
            return candidate
    return None


def _first_id(candidates: list[str], found: str, expected: str) -> str:
    if run_id := find_run_id(*candidates):
        return run_id
    raise typer.BadParameter(f"found {found!r}, expected {expected}")


State = Annotated[Path, typer.Option("--state", help="State folder of the embedded stack.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output, nothing else.")]
RunId = Annotated[
    str, typer.Argument(metavar="RUN_ID", parser=parse_run_id, help=f"Full id, or init time like {CYCLE}.")
]
InitTime = Annotated[datetime, typer.Argument(metavar="INIT_TIME", parser=parse_init_time, help=f"Such as {CYCLE}.")]
Campaign = Annotated[
    str | None, typer.Option(metavar="NAME", parser=parse_campaign, help="Play it as a hindcast of this campaign.")
]
