"""A validator's real ledger under skipped time; miners, sources and scores are simulated."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from temporalio import activity
from temporalio.worker import Worker

from activities import task_queues
from activities.children import TemporalChildren
from activities.faults import FaultInterceptor
from activities.messages.run import Aggregated, Step
from activities.miner_records import LedgerMinerRecords
from activities.operator import LedgerOperator
from activities.outbox import LedgerOutbox
from activities.rounds import LedgerRounds
from activities.run_opening import LedgerRunOpening
from activities.run_records import LedgerRunRecords
from activities.score_records import LedgerScoreRecords
from activities.signatures import methods
from activities.weight_sinks import LedgerWeightSinks
from activities.weights import LedgerWeights, WeightsRules
from adapters.sinks.file import FileSink
from adapters.temporal_client import workflow_runner
from protocol.weights import ScheduledPolicy
from tests.activities.validator.world import DEFAULTS, VALIDATOR
from tests.workflows.fake_audits import FakeAudits
from tests.workflows.planet import Miners, Planet, Scores, ServerClock, Sky
from tests.workflows.script import Script
from weather.faults import LedgerUnavailable
from workers.pod import WORKFLOWS
from workers.settings import queues

DAY = timedelta(days=1)
GENESIS = datetime(2026, 1, 1, tzinfo=UTC)


class Records(LedgerRunRecords):
    """Stuck before the close for as long as the planet says."""

    def __init__(self, planet: Planet, *ports: Any) -> None:
        super().__init__(*ports)
        self.planet = planet

    @activity.defn
    def aggregate_run(self, request: Step) -> Aggregated:
        if self.planet.stuck:
            raise LedgerUnavailable("down")
        return super().aggregate_run(request)


# long: the parts of a validator
def activities_of(planet: Planet) -> list[Any]:
    """Of the ledger all that `control` and `publish` do, of the world only doubles."""
    changes = {"grid": planet.grid, "hotkeys_per_address": None, "round_backend": planet.backend is not None}
    clock, defaults = ServerClock(), replace(DEFAULTS, **changes)
    opening = LedgerRunOpening(planet.ledger, planet.store, planet.catalog, planet.registered, defaults, clock)
    records = Records(planet, planet.ledger, planet.store, planet.catalog, defaults, clock, VALIDATOR)
    ports = planet.ledger, planet.client, opening, records, planet.registered
    script = Script(tuple(planet.keys))
    weights = _weights_rules()
    parts: list[Any] = [
        opening,
        records,
        TemporalChildren(planet.client, planet.store),
        LedgerMinerRecords(planet.ledger, planet.store, VALIDATOR),
        LedgerScoreRecords(planet.ledger, planet.store, planet.catalog),
        LedgerOperator(planet.ledger, planet.store, planet.catalog, weights, two_person=False),
        LedgerOutbox(planet.ledger, planet.backend, clock),
        LedgerWeights(planet.ledger, planet.store, weights, clock),
        LedgerRounds(*ports, weights.genesis, DAY),
        LedgerWeightSinks(planet.ledger, [FileSink(planet.root)], clock),
        FakeAudits(script),
        Miners(planet, script),
        Scores(planet, script),
        Sky(planet),
    ]
    return methods(*reversed(parts))


@asynccontextmanager
async def played(planet: Planet) -> AsyncGenerator[None]:
    """A worker for each queue."""
    activities = activities_of(planet)
    async with AsyncExitStack() as stack:
        for queue in queues("all"):
            worker = Worker(
                planet.client,
                task_queue=queue,
                workflows=WORKFLOWS if queue == task_queues.CONTROL else (),
                activities=activities,
                activity_executor=stack.enter_context(ThreadPoolExecutor(50)),
                max_concurrent_activities=50,
                workflow_runner=workflow_runner(),
                interceptors=[FaultInterceptor()],
            )
            await stack.enter_async_context(worker)
        yield


def _weights_rules() -> WeightsRules:
    return WeightsRules(
        network="test",
        validator=VALIDATOR.hotkey,
        genesis=GENESIS,
        cadence=DAY,
        tempo=DAY,
        buffer=timedelta(minutes=3),
        policies=(ScheduledPolicy(),),
        sinks=("file",),
    )
