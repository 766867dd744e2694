"""`run dossier`, `verify-dossier` and `verify-receipt` as people call them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from starter.cli import run as barograph
from tests.activities.dossiers.judged_run import CAROL, GRID, JudgedRun
from tests.activities.dossiers.unpacked import Unpacked
from tests.activities.validator.world import VALIDATOR

HOTKEYS = ("--miner", CAROL.hotkey, "--validator", VALIDATOR.hotkey)


@pytest.fixture(autouse=True)
def environment() -> Iterator[None]:
    """No command leaves a setting behind."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def state(run: JudgedRun, tmp_path: Path) -> Path:
    """A state folder that names the ledger, the store and the hotkey of the run."""
    VALIDATOR.save(tmp_path / "validator.key")
    settings = {
        "TEMPORAL_ADDRESS": "127.0.0.1:1",
        "TEMPORAL_NAMESPACE": "default",
        "BAROGRAPH_NETWORK": "test",
        "BAROGRAPH_GRID": GRID,
        "BAROGRAPH_GRID_FOLDER": str(run.grids),
        "BAROGRAPH_OBJECT_STORE": (run.grids.parent / "objects").as_uri(),
        "BAROGRAPH_LEDGER_URL": run.ledger_url,
        "BAROGRAPH_HOTKEY_PATH": str(tmp_path / "validator.key"),
    }
    (tmp_path / "client.json").write_text(json.dumps(settings))
    return tmp_path


def asked(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, dict[str, Any]]:
    code = barograph([str(argument) for argument in (*arguments, "--json")])
    return code, json.loads(capsys.readouterr().out or "{}")


def test_a_dossier_is_written_by_name_and_verified_by_hotkey(
    run: JudgedRun, state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = state / "carol.dossier"
    code, told = asked(capsys, "run", "dossier", run.run_id, "--miner", "miner-2", "--out", file, "--state", state)
    assert (code, told["miner"], told["validator"]) == (0, CAROL.hotkey, VALIDATOR.hotkey)
    assert told["size_bytes"] == file.stat().st_size
    code, told = asked(capsys, "verify-dossier", file, *HOTKEYS)
    assert (code, told["holds"], told["close_is_logged"], told["facts"]) == (0, True, True, 25)
    assert barograph(["verify-dossier", str(file), *HOTKEYS]) == 0
    assert "era5_final" in capsys.readouterr().out
    body = bytearray(file.read_bytes())
    body[700] ^= 1
    file.write_bytes(body)
    code, told = asked(capsys, "verify-dossier", file, *HOTKEYS)
    assert (code, told["holds"], told["broken"]) == (4, False, "index.json")


def test_no_dossier_is_written_of_a_stranger(run: JudgedRun, state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, told = asked(
        capsys, "run", "dossier", run.run_id, "--miner", "nobody", "--out", state / "d", "--state", state
    )
    assert (code, told, (state / "d").exists()) == (2, {}, False)


def test_a_receipt_is_verified_from_the_two_messages(
    signed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dossier = Unpacked.of(signed)
    sent, answered = tmp_path / "sent.json", tmp_path / "answered.json"
    sent.write_bytes(dossier.objects[dossier.index["commitment"]])
    answered.write_text(json.dumps(dossier.value("answer"), indent=2))
    code, told = asked(capsys, "verify-receipt", sent, answered, *HOTKEYS)
    assert (code, told["holds"], told["hotkey"]) == (0, True, CAROL.hotkey)
    assert told["received_at"] == dossier.value("answer")["receipt"]["entry"]["received_at"]
    for file, old, new, part in (
        (answered, '"leaf_index": ', '"leaf_index": 1', "receipt"),
        (answered, '"tree_size": ', '"tree_size": 1', "tree_head"),
        (answered, '"inclusion_proof": [', '"inclusion_proof": ["' + "0" * 64 + '",', "inclusion_proof"),
        (answered, "{", "[", "receipt"),
        (sent, '"salt":"44', '"salt":"45', "commitment"),
        (sent, '"network"', '"Network"', "commitment"),
    ):
        whole = file.read_text()
        file.write_text(whole.replace(old, new, 1))
        code, told = asked(capsys, "verify-receipt", sent, answered, *HOTKEYS)
        assert (code, told["holds"], told["broken"]) == (4, False, part)
        file.write_text(whole)


@pytest.mark.parametrize("hotkey", ["", "carol", CAROL.hotkey.upper(), CAROL.hotkey[:-1]])
def test_a_hotkey_is_64_hex_digits(signed: Path, capsys: pytest.CaptureFixture[str], hotkey: str) -> None:
    assert barograph(["verify-dossier", str(signed), "--miner", hotkey, "--validator", VALIDATOR.hotkey]) == 2
    assert "64 lower-case hex digits" in capsys.readouterr().err
