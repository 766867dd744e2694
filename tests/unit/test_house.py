"""The house rules that no linter knows: sizes, names, docstrings, no patches, and what a workflow may load."""

from __future__ import annotations

import ast
import gc
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LONGEST_FILE, LONGEST_BODY = 300, 25
NAMES_THAT_SAY_NOTHING = {"shared", "common", "core", "utils", "helpers", "models", "manager"}
HEAVY = ["numpy", "xarray", "zarr", "sqlalchemy", "httpx"]
LIGHT = "workflows.forecast_run, workflows.trigger, workflows.miner_job"
Function = ast.FunctionDef | ast.AsyncFunctionDef


@pytest.fixture(autouse=True)
def no_collection() -> Iterator[None]:
    """Python 3.11 loses count in `ast.parse` when a collection runs finalizers of other tests within it."""
    gc.disable()
    yield
    gc.enable()


@cache
def sources() -> dict[str, str]:
    """The tracked Python files."""
    listed = subprocess.run(["git", "ls-files", "*.py"], cwd=ROOT, capture_output=True, text=True, check=True)
    paths = listed.stdout.split()
    return {path: (ROOT / path).read_text(encoding="utf-8") for path in paths if (ROOT / path).exists()}


@cache
def modules() -> dict[str, ast.Module]:
    return {path: ast.parse(text) for path, text in sources().items()}


def body_lines(function: Function) -> int:
    """From the first statement after the docstring to the last."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def says_why(function: Function, text: str) -> bool:
    """Whether a comment `# long: <reason>` stands directly above the definition and its decorators."""
    first = min([function.lineno, *(decorator.lineno for decorator in function.decorator_list)])
    above = text.splitlines()[first - 2].strip() if first > 1 else ""
    return above.startswith("# long: ") and above != "# long: "


def too_long(text: str, module: ast.Module | None = None) -> list[str]:
    functions = [node for node in ast.walk(module or ast.parse(text)) if isinstance(node, Function)]
    long = [function for function in functions if body_lines(function) > LONGEST_BODY]
    return [f"{each.name}: {body_lines(each)} lines" for each in long if not says_why(each, text)]


def test_files_are_short() -> None:
    lengths = {path: len(text.splitlines()) for path, text in sources().items()}
    assert {path: length for path, length in lengths.items() if length > LONGEST_FILE} == {}


def test_functions_are_short_or_say_why_not() -> None:
    found = {path: too_long(text, modules()[path]) for path, text in sources().items()}
    assert {path: names for path, names in found.items() if names} == {}


def test_the_rule_of_length_sees_what_is_too_long() -> None:
    body = "\n".join(f"    x = {number}" for number in range(LONGEST_BODY))
    short = f'def f():\n    """Docs."""\n{body}\n'
    assert too_long(short) == []
    assert too_long(f"{short}    x = 0\n") == ["f: 26 lines"]
    assert too_long(f"# long: \n{short}    x = 0\n") == ["f: 26 lines"]
    assert too_long(f"# long: a table\n@cache\n{short}    x = 0\n") == []


def test_every_module_says_what_it_is() -> None:
    silent = [path for path, module in modules().items() if not ast.get_docstring(module)]
    assert [path for path in silent if not path.startswith("tests/")] == []


def test_every_module_has_a_name_that_says_something() -> None:
    words = {path: {part.removesuffix(".py") for part in Path(path).parts} for path in sources()}
    assert [path for path, parts in words.items() if parts & NAMES_THAT_SAY_NOTHING] == []


def test_nothing_is_patched() -> None:
    found = [
        f"{path}:{node.lineno}: {ast.unparse(node)}"
        for path, module in modules().items()
        for node in ast.walk(module)
        if (isinstance(node, ast.Attribute) and ast.unparse(node) == "monkeypatch.setattr")
        or (isinstance(node, ast.Import | ast.ImportFrom) and "mock" in ast.unparse(node))
    ]
    assert found == []


def test_a_workflow_loads_nothing_heavy_in_a_fresh_process() -> None:
    program = f"import sys, {LIGHT}; print(*(name for name in {HEAVY} if name in sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert loaded.stdout.split() == []
