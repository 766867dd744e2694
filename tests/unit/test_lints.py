"""Lints that no linter has: what a review of the ancestor found must not come back (AT-L1)."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from adapters.ledger import tables
from adapters.ledger.tables.base import Row
from tests.unit.test_house import ROOT, modules

CLIENTS = {"httpx.AsyncClient", "httpx.Client"}


def calls(module: ast.Module) -> Iterator[ast.Call]:
    return (node for node in ast.walk(module) if isinstance(node, ast.Call))


def unpredictable(module: ast.Module) -> list[str]:
    """Calls of the built-in `hash`, whose value differs between processes."""
    return [ast.unparse(call) for call in calls(module) if ast.unparse(call.func) == "hash"]


def endless(module: ast.Module) -> list[str]:
    """HTTP clients that would wait for ever, or for as long as a library thinks fit."""
    made = [call for call in calls(module) if ast.unparse(call.func) in CLIENTS]
    return [ast.unparse(call) for call in made if "timeout" not in {keyword.arg for keyword in call.keywords}]


def bare_fences(text: str) -> list[int]:
    """Lines that open a code fence without naming its language."""
    fences = [number for number, line in enumerate(text.splitlines(), 1) if line.lstrip().startswith("```")]
    return [number for number in fences[::2] if text.splitlines()[number - 1].strip() == "```"]


def product() -> dict[str, ast.Module]:
    return {path: module for path, module in modules().items() if not path.startswith("tests/")}


@pytest.mark.parametrize("rule", [unpredictable, endless])
def test_no_module_breaks_the_rule(rule) -> None:
    found = {path: rule(module) for path, module in product().items()}
    assert {path: calls for path, calls in found.items() if calls} == {}


def test_every_fence_names_its_language() -> None:
    listed = subprocess.run(["git", "ls-files", "*.md"], cwd=ROOT, capture_output=True, text=True, check=True)
    found = {path: bare_fences((ROOT / path).read_text(encoding="utf-8")) for path in listed.stdout.split()}
    assert {path: lines for path, lines in found.items() if lines} == {}


def test_no_key_holds_a_uid() -> None:
    for module in pkgutil.iter_modules(tables.__path__):
        importlib.import_module(f"{tables.__name__}.{module.name}")
    keys = {table.name: {column.name for column in table.primary_key} for table in Row.metadata.sorted_tables}
    assert len(keys) > 20 and not [name for name, columns in keys.items() if "uid" in columns]


def test_the_rules_see_what_breaks_them(tmp_path: Path) -> None:
    assert unpredictable(ast.parse("seed = hash(run_id)")) == ["hash(run_id)"]
    assert endless(ast.parse("c = httpx.Client(timeout=5); d = httpx.AsyncClient()")) == ["httpx.AsyncClient()"]
    assert bare_fences("```\nx\n```\n```python\ny\n```\n") == [1]
    source = tmp_path / "exports.py"
    source.write_text('__all__ = ["b", "a"]\na = b = 1\n')
    checked = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--config", str(ROOT / "pyproject.toml"), str(source)], check=False
    )
    assert checked.returncode == 1
