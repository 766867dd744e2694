"""Many rounds at once, and one with many miners; `BAROGRAPH_LONG` plays as many as there can be (AT-R8)."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from temporalio.testing import WorkflowEnvironment

from activities.messages.run import ForecastRunInput
from adapters.ledger.engine import Ledger
from protocol import names
from tests.replay.test_replay import replayer
from tests.workflows.conftest import workers
from tests.workflows.fakes import Script
from tests.workflows.many_rounds import DAY, played
from tests.workflows.planet import Planet
from tests.workflows.test_forecast_run import next_cycle, start
from tests.workflows.test_many_rounds import ledger, skip_to
from weather.faults import TruthNotYetAvailable
from workflows.trigger import OPENS_AFTER_INIT

__all__ = ["ledger"]
pytestmark = pytest.mark.timeout(300)
LONG = bool(os.environ.get("BAROGRAPH_LONG"))
ROUNDS, MINERS = (101, 256) if LONG else (8, 32)
CADENCE = timedelta(hours=6)
CLOSES_AFTER, TRUTH_AFTER = timedelta(seconds=2_181_600), timedelta(seconds=453_600)
SECOND = timedelta(seconds=1)


async def test_none_of_many_rounds_that_wait_for_their_close_by_delays_another(skipping: WorkflowEnvironment) -> None:
    """Each waits for an operator until its time is over; the truth of some is late."""
    late = [TruthNotYetAvailable("not yet", retry_after=CADENCE) for _ in range(ROUNDS)]
    script = Script(
        ["1" * 64],
        leads=(24, 240),
        second_chance=10 * DAY,
        outcomes=["void"] * 2 * ROUNDS,
        faults={("ensure_truth", "era5_final/240"): late},
    )
    first = next_cycle(datetime.now(UTC))
    cycles = [first + number * CADENCE for number in range(ROUNDS)]
    async with workers(skipping.client, script, 1_000):
        handles = []
        for cycle in cycles:
            await skip_to(skipping, cycle + OPENS_AFTER_INIT)
            handles.append(await start(skipping, ForecastRunInput(init_time=cycle)))
        opened = await skipping.get_current_time()
        for handle in handles:
            await handle.result()
    starts = [call for call in script.calls["start_pass"] if call.to == "queued" and call.lead_hours]
    delays = [call.at - _cycle(call.run_id) - timedelta(hours=call.lead_hours) - TRUTH_AFTER for call in starts]
    delays += [call.at - _cycle(call.run_id) - CLOSES_AFTER for call in script.calls["close_run"]]
    assert len(delays) == 3 * ROUNDS and not late
    assert opened < first + CLOSES_AFTER
    assert max(delays) < SECOND


async def test_a_round_with_many_miners_is_done_soon_and_has_a_short_history(
    skipping: WorkflowEnvironment, ledger: Ledger, tmp_path: Path
) -> None:
    """AT-X9: and it replays, as `tests/replay` does with all that are checked in."""
    cycle = next_cycle(datetime.now(UTC))
    async with played(Planet(tmp_path, ledger, skipping.client, MINERS)):
        await skip_to(skipping, cycle + OPENS_AFTER_INIT)
        began = time.monotonic()
        run = await start(skipping, ForecastRunInput(init_time=cycle))
        result = await run.result()
        took = time.monotonic() - began
        history = await run.fetch_history()
    assert (result.outcome, result.verified) == ("closed", MINERS)
    assert took <= 120
    assert len(history.events) <= 3_000
    await replayer().replay_workflow(history)


def _cycle(run_id: str) -> datetime:
    return names.parse_run_id(run_id).init_time
