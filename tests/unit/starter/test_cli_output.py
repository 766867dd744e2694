import json
import os
import re
import subprocess
import sys

import pytest
import typer

from starter.cli import run
from starter.output import emit, exit_code, report
from weather import faults

UNREADY = {"PlatformFault", "LedgerUnavailable", "StoreUnavailable", "PrerequisiteMissing"}
HEAVY = {"eccodes", "zarr", "numpy", "sqlalchemy", "temporalio"}


def test_every_class_of_the_error_tree_has_one_exit_code() -> None:
    for name, kind in faults.tree().items():
        refused = issubclass(kind, faults.PolicyRefusal)
        assert exit_code(kind("x")) == (3 if name in UNREADY else 4 if refused else 5), name


def test_usage_is_two() -> None:
    assert exit_code(typer.BadParameter("x")) == 2


def test_an_error_is_one_line_with_found_expected_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert report(faults.LedgerUnavailable("ledger\n  away", found="a", expected="b")) == 3
    out, error = capsys.readouterr()
    assert out == "" and error.count("\n") == 1
    assert error.startswith("barograph: ledger away; found a; expected b; `barograph doctor`")


def test_json_is_one_document_and_tables_hold_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    document = {"run_id": "r", "until": None, "rows": [{"score": 0.5, "leads": {"024h": 1.0}, "code": "[x]"}], "no": []}
    emit(document, as_json=True)
    assert json.loads(capsys.readouterr().out) == document
    emit(document, as_json=False, hide=("score",))
    table = capsys.readouterr().out
    assert "1.000000" in table and "024h" in table and "[x]" in table and "none" in table
    assert "0.500000" not in table and "until" not in table


def test_an_empty_list_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    emit([], as_json=False)
    assert capsys.readouterr().out.strip() == "none"


@pytest.mark.parametrize(("environment", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_no_color_is_respected(environment: dict[str, str], coloured: bool) -> None:
    command = (sys.executable, "-m", "starter", "run", "--help")
    forced = os.environ | {"FORCE_COLOR": "1"} | environment
    told = subprocess.run(command, env=forced, capture_output=True, text=True, check=True, timeout=30).stdout
    assert bool(re.search(r"\x1b\[[0-9;]*3[0-7]m", told)) is coloured


def test_help_tells_the_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == 0
    told = capsys.readouterr().out
    assert all(f" {code} — " in told for code in (0, 2, 3, 4, 5, 130))


def test_help_imports_nothing_heavy() -> None:
    program = f"import sys; from starter.cli import run; run(['--help']); sys.exit(len({HEAVY} & set(sys.modules)))"
    assert subprocess.call([sys.executable, "-c", program], stdout=subprocess.DEVNULL, timeout=30) == 0


@pytest.mark.parametrize("arguments", [["bogus"], ["run", "start"], ["up", "--port-base", "80"], ["demo", "--jsn"]])
def test_what_the_command_line_does_not_know_is_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments) == 2
    assert capsys.readouterr().err.count("\n") == 1
