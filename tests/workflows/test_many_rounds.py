"""Daily rounds that overlap for a week, with weights each day; `BAROGRAPH_LONG` plays 20 days with 64 miners."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from temporalio.client import WorkflowFailureError
from temporalio.testing import WorkflowEnvironment

from activities import task_queues
from activities.messages.run import ForecastRunInput
from activities.messages.weights import WeightsEpochInput
from adapters.ledger import runs
from adapters.ledger.engine import Ledger, upgrade
from starter.client import failure_of
from starter.commands.reports import runs_listed
from tests.workflows.many_rounds import DAY, GENESIS, played
from tests.workflows.planet import Planet
from tests.workflows.test_forecast_run import start
from workflows.trigger import OPENS_AFTER_INIT
from workflows.weights_epoch import WeightsEpoch

LONG = bool(os.environ.get("BAROGRAPH_LONG"))
DAYS, MINERS = (20, 64) if LONG else (5, 4)
LAST_CLOSE = timedelta(days=17)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    url = f"sqlite:///{tmp_path}/ledger.db"
    upgrade(url)
    with Ledger(url) as ledger:
        yield ledger


async def skip_to(environment: WorkflowEnvironment, at: datetime) -> None:
    await environment.sleep(at - await environment.get_current_time())


async def open_round(environment: WorkflowEnvironment, init_time: datetime) -> None:
    """The skipping server stands still once an abandoned child of a `Trigger` ends: so without one."""
    await skip_to(environment, init_time + OPENS_AFTER_INIT)
    await start(environment, ForecastRunInput(init_time=init_time))


async def publish(environment: WorkflowEnvironment, at: datetime) -> str | None:
    """The epoch of that instant, in which no time is skipped; answers the code if there was nothing to publish."""
    await skip_to(environment, at)
    epoch = WeightsEpochInput(epoch=(at - GENESIS) // DAY)
    name = f"weights/test/{epoch.epoch}"
    try:
        with environment.auto_time_skipping_disabled():
            await environment.client.execute_workflow(WeightsEpoch.run, epoch, id=name, task_queue=task_queues.CONTROL)
    except WorkflowFailureError as error:
        return failure_of(error).code
    return None


# long: one long story
@pytest.mark.timeout(400 if LONG else 120)
async def test_overlapping_rounds_all_close_and_each_epoch_has_its_weights(
    skipping: WorkflowEnvironment, ledger: Ledger, tmp_path: Path
) -> None:
    began = (await skipping.get_current_time()).astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + DAY
    cycles = [began + n * DAY for n in range(DAYS)]
    planet = Planet(tmp_path, ledger, skipping.client, MINERS, lost=cycles[1], late=cycles[2])
    async with played(planet):
        codes = []
        for day in range(DAYS + LAST_CLOSE.days):
            if day < DAYS:
                await open_round(skipping, began + day * DAY)
            codes.append(await publish(skipping, began + day * DAY + timedelta(hours=12)))
    with ledger.read() as session:
        rounds = {run.init_time: run for run in runs.list_runs(session)}
        listed = {row["run_id"]: row["why"] for row in runs_listed(session)}
    assert {cycle: run.outcome for cycle, run in rounds.items()} == {
        cycle: "void" if cycle == planet.lost else "closed" for cycle in cycles
    }
    in_time = timedelta(hours=36 + 126, minutes=1)
    slow = [run for cycle, run in rounds.items() if run.closed_at and run.closed_at - cycle > in_time]
    assert sorted(run.init_time for run in slow) == [planet.lost, planet.late]
    assert [why for why in listed.values() if "SourceGone" in why] == [listed[slow[-1].run_id]]
    lines = [json.loads(line)["weights"] for line in (tmp_path / "weights" / "test.jsonl").read_text().splitlines()]
    assert codes == ["NothingToPublish"] * (len(codes) - len(lines)) + [None] * len(lines)
    first = lines[0]["epoch"]
    assert [line["epoch"] for line in lines] == list(range(first, first + len(lines)))
    best = min(planet.keys, key=lambda hotkey: -planet.skill(hotkey))
    assert lines[-1]["shares"] == [[best, 10**9]]
    assert lines[-1]["head"] == (cycles[-1] - GENESIS) // DAY
