"""`make bench`: every table, or as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table as Shown

from benchmarks import reading, sums
from benchmarks.timing import Row, Table

PARTS = {"reading": reading.tables, "sums": sums.tables}

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document instead of tables.")] = False,
    only: Annotated[str, typer.Option(help=f"One of {', '.join(PARTS)}.")] = "",
) -> None:
    """Times in one process, as ratios to a named baseline; nothing fails by them."""
    tables = [table for name, part in PARTS.items() if only in ("", name) for table in part()]
    if as_json:
        typer.echo(json.dumps([asdict(table) for table in tables], ensure_ascii=False, indent=1))
        return
    console = Console(width=110)
    for table in tables:
        console.print(_shown(table))


def _shown(table: Table) -> Shown:
    shown = Shown(title=f"{table.title}\nratios to: {table.baseline}", title_justify="left")
    for column in ("what", "value", "", "ratio", "target"):
        shown.add_column(column, justify="right" if column in ("value", "ratio") else "left", no_wrap=True)
    for row in table.rows:
        shown.add_row(row.name, f"{row.value:,.3g}", row.unit, _ratio(row), row.target)
    return shown


def _ratio(row: Row) -> str:
    return "" if row.ratio is None else f"{row.ratio:.3g}"


if __name__ == "__main__":
    app()
