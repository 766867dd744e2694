"""A process that hosts miners: their services on one port and a Temporal worker on the queue `inference`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, closing
from datetime import timedelta
from ipaddress import ip_network

from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.types import ASGIApp
from temporalio.client import Client
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError
from temporalio.worker import Worker

from activities import task_queues
from activities.faults import FaultInterceptor
from activities.messages.inference import MinerJobInput, Requested
from activities.signatures import methods
from adapters.catalog import Catalog
from adapters.clock import Clock
from adapters.egress import Egress
from adapters.grib_decoder import GribDecoder
from adapters.http_service import bound, serving
from adapters.telemetry import ActivityLines
from adapters.temporal_client import connect, runtime, workflow_runner
from miner.activities import MinerActivities
from miner.cheats import cheat_of
from miner.forecasts import check_kind
from miner.inputs import Library
from miner.jobs import Jobs
from miner.premises import HostedMiner, Premises, StartJob
from miner.service import MinerService
from miner.settings import Miner, MinerSettings
from protocol import names
from protocol.identity import PrivateKey
from protocol.problems import Refusal
from protocol.registry import Registry
from weather.faults import ConfigurationInvalid
from workflows.failures import FAILURE_TYPES
from workflows.miner_job import MinerJob

GRACEFUL_SHUTDOWN = timedelta(seconds=30)


async def run(settings: MinerSettings, stop: asyncio.Event) -> None:
    """Serve until `stop` is set; what was begun is finished first. Connections wait until all is ready."""
    miners = [hosted(settings, miner) for miner in settings.miners]
    by_hotkey = {miner.key.hotkey: miner for miner in miners}
    premises = open_premises(settings, Clock())
    listening = bound(settings.host, settings.port)
    with closing(premises.jobs), listening as listener, closing(GribDecoder()) as decoder:
        metrics = runtime(settings.metrics_port)
        client = await connect(settings.temporal_address, settings.temporal_namespace, metrics)
        library = Library(settings, decoder, premises.clock)
        activities = MinerActivities(by_hotkey, premises, library)
        app = services(miners, premises, job_starter(client))
        async with inference_worker(client, activities, settings.activity_threads), serving(app, listener):
            await stop.wait()


def hosted(settings: MinerSettings, miner: Miner) -> HostedMiner:
    """The miner with its key, or `ConfigurationInvalid`."""
    check_kind(miner)
    try:
        key = PrivateKey.load(miner.key_file)
    except (OSError, ValueError) as error:
        raise ConfigurationInvalid(f"key of miner {miner.name}: {error}") from error
    public_url = settings.public_url or f"http://{settings.host}:{settings.port}"
    return HostedMiner(miner, key, cheat_of(miner), public_url + miner.base_path)


def open_premises(settings: MinerSettings, clock: Clock) -> Premises:
    """What the miners share; the data folder is made."""
    try:
        registry = Registry.load(settings.registry)
    except OSError as error:
        raise ConfigurationInvalid(f"registry: {error}") from error
    return Premises(
        registry=registry,
        jobs=Jobs(settings.data_dir),
        data_dir=settings.data_dir,
        catalog=Catalog(settings.extra_layouts),
        clock=clock,
        egress=Egress(clock, tuple(ip_network(network) for network in settings.egress_allow)),
        started_at=clock.now(),
    )


def job_starter(client: Client) -> StartJob:
    """Start `MinerJob` under its business id with the validator's request, or tell the running one."""

    async def start(job: MinerJobInput, wanted: Requested) -> None:
        try:
            await client.start_workflow(
                MinerJob.run,
                job,
                id=names.miner_job_workflow_id(job.hotkey, job.run_id),
                task_queue=task_queues.INFERENCE,
                start_signal="requested",
                start_signal_args=[wanted],
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY,
                static_summary=f"{job.name} · {job.run_id}",
            )
        except WorkflowAlreadyStartedError:
            return  # it was done, kept and expired
        except RPCError as error:
            raise Refusal("NotReady", f"Temporal does not start the job: {error.message}") from error

    return start


@asynccontextmanager
async def inference_worker(client: Client, activities: object, threads: int) -> AsyncGenerator[None]:
    """The worker of the queue `inference`."""
    with ThreadPoolExecutor(threads) as executor:
        async with Worker(
            client,
            task_queue=task_queues.INFERENCE,
            workflows=[MinerJob],
            activities=methods(activities),
            activity_executor=executor,
            max_concurrent_activities=threads,
            workflow_runner=workflow_runner(),
            interceptors=[ActivityLines(), FaultInterceptor()],
            workflow_failure_exception_types=FAILURE_TYPES,
            graceful_shutdown_timeout=GRACEFUL_SHUTDOWN,
        ):
            yield


def services(miners: Iterable[HostedMiner], premises: Premises, start_job: StartJob) -> ASGIApp:
    """All miners of the process, each below its base path."""
    routes = [Mount(miner.settings.base_path, MinerService(miner, premises, start_job).app()) for miner in miners]
    return Starlette(routes=routes)
