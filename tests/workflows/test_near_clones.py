"""Day 1 ends with a comparison of all miners; without one nobody is accused and nothing is lost."""

from __future__ import annotations

import pytest
from temporalio.testing import WorkflowEnvironment

from activities.messages.base import Ref
from tests.workflows.script import REF, Script
from tests.workflows.test_forecast_run import play
from weather.faults import Fault, LedgerConflict

FIVE = [str(number) * 64 for number in range(1, 6)]


@pytest.mark.parametrize(
    ("miners", "faults", "likeness"),
    [(FIVE, [], REF), (FIVE, [LedgerConflict("lost")], None), (FIVE[:4], [], None)],
    ids=["five", "five, and it fails", "four"],
)
async def test_five_miners_are_compared_once(
    skipping: WorkflowEnvironment, cache: int, miners: list[str], faults: list[Fault], likeness: Ref | None
) -> None:
    script = Script(miners, leads=(24,), faults={("compare_miners", "day1_qc"): list(faults)})
    result = await play(skipping, script, cache)
    compared = script.calls["compare_miners"]
    assert [sorted(miner.hotkey for miner in one.miners) for one in compared] == ([FIVE] if len(miners) == 5 else [])
    found = {end.pass_name: end.likeness for end in script.calls["finish_pass"]}
    assert found == {"day1_qc": likeness, "era5_final": None}
    assert result.outcome == "closed"
