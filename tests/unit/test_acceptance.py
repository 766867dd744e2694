"""Each acceptance test that the specification of rounds asks for is named in the docstring of a test."""

from __future__ import annotations

import ast
import re

import pytest

from tests.unit.test_house import ROOT, modules

SPECIFICATION = ROOT.parent / "shared" / "specs" / "rounds-and-weights.md"
WITH_DOCSTRING = ast.Module | ast.FunctionDef | ast.AsyncFunctionDef


def named() -> set[str]:
    nodes = [node for path, module in modules().items() if path.startswith("tests/") for node in ast.walk(module)]
    docstrings = [ast.get_docstring(node) or "" for node in nodes if isinstance(node, WITH_DOCSTRING)]
    return {name for text in docstrings for name in re.findall(r"\bAT-[A-Z]+[0-9]+", text)}


@pytest.mark.skipif(not SPECIFICATION.exists(), reason="the specification does not lie beside the project")
def test_every_acceptance_test_of_rounds_is_named() -> None:
    _, section = SPECIFICATION.read_text(encoding="utf-8").split("## 10. Acceptance tests")
    asked = set(re.findall(r"\*\*(AT-[A-Z]+[0-9]+)\*\*", section))
    assert len(asked) > 50 and sorted(asked - named()) == []
