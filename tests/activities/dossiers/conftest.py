"""One closed run for all tests of dossiers, and two dossiers of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.activities.dossiers.judged_run import CAROL, JudgedRun, play
from tests.activities.dossiers.unpacked import write


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> JudgedRun:
    return play(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="session")
def signed(run: JudgedRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """CAROL's, whose close stands in the signed log."""
    return write(run, CAROL.hotkey, tmp_path_factory.mktemp("signed") / "carol.dossier")


@pytest.fixture(scope="session")
def unsigned(run: JudgedRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """CAROL's, made without the validator's key before a receipt covers the close."""
    return write(run, CAROL.hotkey, tmp_path_factory.mktemp("unsigned") / "carol.dossier", key=None)
