"""The reference miner passes every check, however it forecasts."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.activities.conform.conftest import Departure, Scene

DOCS = Path(__file__).parents[3] / "docs"


@pytest.mark.parametrize("kind", ["skilful", "climatology"])
async def test_reference_miner_conforms(scene: Scene, kind: str) -> None:
    report = await scene.examine(Departure(kind=kind))
    assert [one for one in report.checks if one.result != "pass"] == []
    assert len({one.check for one in report.checks}) == report.passed >= 90
    assert all((DOCS / one.page).is_file() for one in report.checks)


async def test_miner_need_not_push_where_the_validator_only_pulls(scene: Scene) -> None:
    report = await scene.examine(push=False)
    assert report.failed == report.skipped == 0
    assert not any(one.check.startswith("push.") for one in report.checks)
