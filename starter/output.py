"""What a command leaves behind: one document or its tables, an error as one line, an exit code."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import typer
from pydantic_core import to_jsonable_python
from rich.console import Console
from rich.table import Table
from rich.text import Text

from weather.faults import Fault, LedgerUnavailable, PlatformFault, PolicyRefusal, PrerequisiteMissing, StoreUnavailable

EXIT_CODES = """Exit codes:

0 — done

1 — a round bundle does not hold; 2 if it lacks something

2 — usage, or a setting that does not hold

3 — not ready: Temporal, ledger, store, port or a prerequisite is missing

4 — refused: configuration, init time, grid, state folder; a receipt or dossier that does not hold

5 — a fault of platform or source, a run that closed void, a miner that does not conform

130 — interrupted"""
USAGE, NOT_READY, REFUSED, FAULT, INTERRUPTED = 2, 3, 4, 5, 130
ERRORS = (Fault, typer.TyperException, OSError, asyncio.CancelledError)
UNREADY = (LedgerUnavailable, StoreUnavailable, PrerequisiteMissing)
HELPS = {
    USAGE: "`--help` tells what is expected",
    NOT_READY: "`barograph doctor` looks at each part, `barograph up` starts an embedded stack",
}
NOTHING = "—"
WIDTH_OF_A_FILE = 200


def exit_code(error: BaseException) -> int:
    """The one place where the error tree becomes a number."""
    if isinstance(error, typer.TyperException):
        return error.exit_code
    if isinstance(error, asyncio.CancelledError):
        return INTERRUPTED
    if isinstance(error, UNREADY) or type(error) is PlatformFault:
        return NOT_READY
    return REFUSED if isinstance(error, PolicyRefusal) else FAULT


def report(error: BaseException) -> int:
    """One line on standard error; answers the exit code."""
    code = exit_code(error)
    if code != INTERRUPTED:
        said = error.format_message() if isinstance(error, typer.TyperException) else str(error)
        said = said or type(error).__name__
        tell("; ".join(filter(None, [f"barograph: {' '.join(said.split()).rstrip('.')}", HELPS.get(code)])))
    return code


def tell(line: str) -> None:
    """A line for people, beside the document."""
    typer.echo(line, err=True)


def emit(document: Any, *, as_json: bool, hide: Collection[str] = ()) -> None:
    """Print values and lists of values; tables leave out the columns in `hide`."""
    plain = to_jsonable_python(document)
    if as_json:
        return typer.echo(json.dumps(plain, indent=2))
    console = Console(width=None if sys.stdout.isatty() else WIDTH_OF_A_FILE)
    for part in _parts(plain, hide):
        console.print(part)


def _parts(plain: Any, hide: Collection[str]) -> Iterator[Table]:
    if isinstance(plain, list):
        plain = {"": plain}
    single = Table(box=None, show_header=False)
    for name, value in plain.items():
        if value not in (None, "") and not _is_table(value):
            single.add_row(Text(name, style="bold"), _cell(value))
    if single.rows:
        yield single
    for name, value in plain.items():
        if _is_table(value):
            yield _table(value, hide, title=name or None)


def _is_table(value: Any) -> bool:
    return isinstance(value, list) and any(isinstance(row, dict) for row in value)


def _table(rows: list[dict[str, Any]], hide: Collection[str], title: str | None = None) -> Table:
    """A row's mappings become columns of their own; a column without any value is left out."""
    flat = [dict(pair for name, value in row.items() for pair in _columns(name, value)) for row in rows]
    names = dict.fromkeys(name for row in flat for name, value in row.items() if value is not None and name not in hide)
    table = Table(title=title, title_justify="left")
    for name in names:
        table.add_column(name, overflow="fold")
    for row in flat:
        table.add_row(*(_cell(row.get(name)) for name in names))
    return table


def _columns(name: str, value: Any) -> list[tuple[str, Any]]:
    return list(value.items()) if isinstance(value, Mapping) else [(name, value)]


def _cell(value: Any) -> Text:
    if isinstance(value, Mapping):
        return Text(", ".join(f"{name} {_cell(each)}" for name, each in value.items()) or NOTHING)
    if isinstance(value, list):
        return Text(", ".join(map(str, value)) or "none")
    if isinstance(value, bool):
        return Text("yes" if value else "no")
    if isinstance(value, float):
        return Text(f"{value:.6f}" if abs(value) <= 1 else f"{value:g}")
    return Text(NOTHING if value is None or value == "" else str(value))
