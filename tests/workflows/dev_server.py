"""The Temporal server that people run, on a file of its own, and a pod on it whose activities are fakes."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from temporalio import activity
from temporalio.client import Client

from activities.messages.run import ForecastRunInput, Run
from activities.signatures import methods
from adapters import temporal_server
from adapters.temporal_client import connect
from starter.embedded import NAMESPACE
from starter.ports import LOOPBACK, free_ports
from tests.workflows.conftest import QUEUES
from tests.workflows.fake_audits import FakeAudits
from tests.workflows.fake_scores import FakeScores
from tests.workflows.fakes import FakeArchive, FakeChildren, FakeMiners, FakeRuns, Script
from workers.pod import queue_worker
from workers.settings import Settings
from workers.wiring import Wiring

LONGEST_SECONDS = 60


@contextmanager
def dev_server(folder: Path) -> Generator[str]:
    """Its address, when it is ready."""
    (port,) = free_ports(1)
    address, command = f"{LOOPBACK}:{port}", temporal_server.start_command(folder / "db", port, durable=False)
    with (folder / "log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as server:
        try:
            asyncio.run(_prepare(address))
            yield address
        finally:
            server.terminate()


async def _prepare(address: str) -> None:
    await temporal_server.prepare(await connect(address, NAMESPACE))


async def listed(client: Client, query: str, count: int) -> set[str]:
    """The ids, as soon as there are so many: what is listed lags behind."""
    async with asyncio.timeout(20):
        while len(found := {each.id async for each in client.list_workflows(query)}) < count:
            continue
    return found


class QuickRuns(FakeRuns):
    """A run without grace after its deadline."""

    @activity.defn
    async def open_run(self, request: ForecastRunInput) -> Run:
        return (await super().open_run(request)).model_copy(update={"seal_grace": timedelta(0)})


@dataclass(frozen=True)
class FakeWiring(Wiring):
    """The activities of `others` take the place of fakes of the same name."""

    script: Script
    others: tuple[object, ...] = ()

    def activities(self, queue: str) -> Sequence[Callable[..., Any]]:
        """All of them on each queue."""
        script, client = self.script, self.client
        fakes = (
            *(QuickRuns(script), FakeChildren(script, client), FakeMiners(script, client)),
            *(FakeArchive(script), FakeScores(script), FakeAudits(script)),
        )
        return methods(*fakes, *self.others)


@asynccontextmanager
async def pod(client: Client, script: Script, *others: object) -> AsyncGenerator[None]:
    """The workers of every queue, as a real pod has them."""
    settings = Settings(
        network="test",
        temporal_address=client.service_client.config.target_host,
        temporal_namespace=client.namespace,
        object_store="file:///nowhere",
    )
    wiring = FakeWiring(settings, client, script, others)
    async with AsyncExitStack() as stack:
        for queue in QUEUES:
            await stack.enter_async_context(queue_worker(wiring, queue))
        async with asyncio.timeout(LONGEST_SECONDS):
            yield
