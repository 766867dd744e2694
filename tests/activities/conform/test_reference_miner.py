"""The reference miner passes every check."""

from __future__ import annotations

from tests.activities.conform.conftest import Scene


async def test_reference_miner_conforms(scene: Scene) -> None:
    report = await scene.examine()
    assert [one for one in report.checks if one.result != "pass"] == []
    assert len({one.check for one in report.checks}) == report.passed >= 90


async def test_miner_need_not_push_where_the_validator_only_pulls(scene: Scene) -> None:
    report = await scene.examine(push=False)
    assert report.failed == report.skipped == 0
    assert not any(one.check.startswith("push.") for one in report.checks)
