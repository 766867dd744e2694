"""One closed live round for all tests of bundles, and the state folder of its validator."""

from __future__ import annotations

import pytest

from tests.activities.bundles.closed_round import play
from tests.activities.dossiers.judged_run import JudgedRun
from tests.activities.dossiers.test_commands import environment, state

__all__ = ["environment", "state"]


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> JudgedRun:
    return play(tmp_path_factory.mktemp("round"))
