"""What client commands share: their settings, Temporal, the start of a run, and why a workflow stands where it does."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncGenerator, Generator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import typer
from pydantic import TypeAdapter, ValidationError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from sqlalchemy.orm import Session
from temporalio.api.enums.v1 import PendingActivityState
from temporalio.api.workflow.v1 import PendingActivityInfo
from temporalio.client import (
    Client,
    WorkflowExecutionStatus,
    WorkflowFailureError,
    WorkflowHandle,
    WorkflowQueryFailedError,
    WorkflowUpdateFailedError,
)
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import ActivityError, ApplicationError, TerminatedError, WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from activities import task_queues
from activities.messages.base import FaultNote, Message
from activities.messages.run import ForecastRunInput, ForecastRunResult
from activities.messages.status import RunProgress, Why
from adapters.ledger.engine import Ledger
from adapters.telemetry import untraced
from adapters.temporal_client import connect
from protocol.layout import load_layout
from protocol.names import format_time
from protocol.registry import Registry
from starter.commands.whys import Leaf
from weather.faults import (
    ConfigurationInvalid,
    Fault,
    InternalError,
    PlatformFault,
    PrerequisiteMissing,
    RunTerminated,
    tree,
)
from workers.settings import Settings, load_settings
from workflows.failures import fault_of
from workflows.forecast_run import ForecastRun

CLIENT_FILE = "client.json"
ABSENT = "the server has no such workflow: `barograph run start` begins it, or goes on with what the ledger holds"
NO_WORKER = "waits for a `control` worker that answers, such as `barograph worker --mode control`"
LOOK_SECONDS = 1.0
QUERY_TIMEOUT = timedelta(seconds=5)
FAILED_ONLY = WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY
M = TypeVar("M", bound=Message)


def client_settings(state: Path) -> Settings:
    """From the environment if it names a ledger, else from what `up` left in the state folder."""
    if not os.environ.get("BAROGRAPH_LEDGER_URL"):
        os.environ.update(_environment(state / CLIENT_FILE))
    return checked_settings(worker_mode="publish")


def checked_settings(**overrides: Any) -> Settings:
    """A setting that does not hold is an error of usage."""
    try:
        return load_settings(**overrides)
    except ConfigurationInvalid as error:
        raise typer.BadParameter(str(error)) from error


def _environment(file: Path) -> dict[str, str]:
    try:
        return TypeAdapter(dict[str, str]).validate_json(file.read_bytes())
    except FileNotFoundError as error:
        raise PrerequisiteMissing(
            f"no stack is known: BAROGRAPH_LEDGER_URL is not set and {file} is not there"
        ) from error
    except (OSError, ValidationError) as error:
        raise ConfigurationInvalid(f"{file} is no object of texts; `barograph up` writes it anew: {error}") from error


@contextlib.contextmanager
def reading(settings: Settings) -> Generator[Session]:
    """A transaction on the ledger that only reads."""
    assert settings.ledger_url is not None
    with Ledger(settings.ledger_url) as ledger, ledger.read() as session:
        yield session


@contextlib.asynccontextmanager
async def temporal(settings: Settings) -> AsyncGenerator[Client]:
    """A client, with its failures as faults."""
    with translated():
        yield await connect(settings.temporal_address, settings.temporal_namespace)


@contextlib.contextmanager
def translated() -> Generator[None]:
    """A failed workflow raises the fault behind it; a server that answers with a status of its own is not ready."""
    try:
        yield
    except RPCError as error:
        raise PlatformFault(f"Temporal refuses: {_said(error)}") from error
    except (WorkflowFailureError, WorkflowUpdateFailedError) as error:
        raise failure_of(error) from error


def check_start(settings: Settings, request: ForecastRunInput) -> None:
    """Refuse what could only fail or close void, before an init time is spent on it."""
    now = datetime.now(UTC).replace(microsecond=0)
    if request.init_time > now:
        raise ConfigurationInvalid(
            "init time is in the future", found=format_time(request.init_time), expected=f"at most {format_time(now)}"
        )
    if request.grid:
        load_layout(request.grid, settings.grid_folder)
    if settings.registry_path and not any(miner.enabled for miner in registry(settings).miners):
        raise ConfigurationInvalid(
            f"{settings.registry_path} has no miner: a run would close void",
            found="no enabled miner",
            expected="at least one",
        )


def registry(settings: Settings) -> Registry:
    path = settings.registry_path
    if path is None:
        raise PrerequisiteMissing("BAROGRAPH_REGISTRY_PATH is not set")
    try:
        return Registry.load(path)
    except OSError as error:
        raise PrerequisiteMissing(f"the registry cannot be read: {error}") from error


async def start_run(client: Client, request: ForecastRunInput) -> tuple[WorkflowHandle[Any, ForecastRunResult], bool]:
    """As `start_or_join`."""
    summary = f"{request.run_purpose} run of {format_time(request.init_time)}"
    return await start_or_join(client, ForecastRun.run, request, summary=summary)


async def start_or_join(
    client: Client, run: Any, request: Any, again: WorkflowIDReusePolicy = FAILED_ONLY, summary: str | None = None
) -> tuple[WorkflowHandle, bool]:
    """A workflow under its business id, and whether it was there already, open or closed."""
    try:
        handle = await client.start_workflow(
            run,
            request,
            id=request.workflow_id,
            task_queue=task_queues.CONTROL,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            id_reuse_policy=again,
            static_summary=summary,
        )
    except WorkflowAlreadyStartedError:
        return client.get_workflow_handle_for(run, request.workflow_id), True
    answer = handle._start_workflow_response
    assert answer is not None
    return handle, not answer.started


async def watched(handle: WorkflowHandle[Any, ForecastRunResult], *, quiet: bool) -> ForecastRunResult:
    """The result of a run; what happens until then is shown on standard error."""
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    result = asyncio.create_task(handle.result())
    with Progress(*columns, console=Console(stderr=True), disable=quiet, transient=True) as bar:
        shown = bar.add_task("asking", total=None)
        while not result.done():
            with untraced():
                text, progress = await _look(handle)
            bar.update(shown, description=text, completed=progress.passes_done, total=progress.passes_total or None)
            await asyncio.wait([result], timeout=LOOK_SECONDS)
    return await result


async def _look(handle: WorkflowHandle) -> tuple[str, RunProgress]:
    try:
        why, progress = await asked(handle, "why", Why), await asked(handle, "progress", RunProgress)
    except (RPCError, WorkflowQueryFailedError):
        return "no worker answers", RunProgress()
    return f"{why.stage}: {why.waiting_for} · {progress.verified} of {progress.asked} miners verified", progress


async def asked(handle: WorkflowHandle, query: str, kind: type[M]) -> M:
    """What a query answers; members that only the worker's version knows are passed over."""
    return kind.model_validate(await handle.query(query, rpc_timeout=QUERY_TIMEOUT), extra="ignore")


def failure_of(error: WorkflowFailureError | WorkflowUpdateFailedError) -> Fault:
    """The fault behind a failed workflow, or behind an update that it refused."""
    cause = error.cause
    if isinstance(cause, ActivityError):
        note = fault_of(cause)
        return tree()[note.code](note.detail, found=note.found, expected=note.expected)
    if isinstance(cause, TerminatedError):
        return RunTerminated(str(cause))
    kind = tree().get(cause.type or "", InternalError) if isinstance(cause, ApplicationError) else InternalError
    return kind(str(cause))


async def whys(settings: Settings, workflow_ids: Sequence[str]) -> list[Leaf]:
    """Why each workflow stands where it stands, each followed by what it has under way."""
    async with temporal(settings) as client:
        answers = await asyncio.gather(*(why_of(client, workflow_id) for workflow_id in workflow_ids))
    return [leaf for answer in answers for leaf in answer]


async def why_of(client: Client, workflow_id: str) -> list[Leaf]:
    """What a workflow waits for, or how it ended, then its activities; a sentence in any case."""
    handle, under_way = client.get_workflow_handle(workflow_id), list[Leaf]()
    try:
        described = await handle.describe()
        if described.status == WorkflowExecutionStatus.RUNNING:
            under_way = [doing(workflow_id, one) for one in described.raw_description.pending_activities]
            return [_told(workflow_id, await asked(handle, "why", Why)), *under_way]
        await handle.result()
    except WorkflowFailureError as error:
        fault = FaultNote.of(failure_of(error))
        failed = Why(stage="failed", waiting_for="somebody to start it again", kind=fault.cause, last_fault=fault)
        return [_told(workflow_id, failed)]
    except WorkflowQueryFailedError as error:
        return [Leaf(workflow_id, f"waits for a worker that knows the answer: {error}", "worker"), *under_way]
    except RPCError as error:
        if error.status == RPCStatusCode.NOT_FOUND:
            return [Leaf(workflow_id, ABSENT, "operator")]
        return [Leaf(workflow_id, f"{NO_WORKER} ({_said(error)})", "worker"), *under_way]
    return [Leaf(workflow_id, "the workflow is closed")]


def _told(workflow_id: str, why: Why) -> Leaf:
    evidence = why.last_fault.model_dump(include={"detail", "found", "expected"}) if why.last_fault else {}
    code = why.last_fault.code if why.last_fault else None
    said = f"{why.stage}: waits for {why.waiting_for}"
    return Leaf(workflow_id, said, why.kind, code, why.since, why.until, evidence, why.verbs)


def doing(workflow_id: str, one: PendingActivityInfo) -> Leaf:
    """An activity: with whom it is and when it was heard of, or why it failed and when it is tried again."""
    code = one.last_failure.application_failure_info.type
    runs = one.state == PendingActivityState.PENDING_ACTIVITY_STATE_STARTED
    heard, due = one.last_heartbeat_time, one.next_attempt_schedule_time
    return Leaf(
        f"{workflow_id} {one.activity_type.name}",
        f"attempt {one.attempt} {'runs' if runs else 'waits for its time or for a worker'}",
        tree()[code].cause if code in tree() and not runs else "worker",
        code or None,
        since=one.last_started_time.ToDatetime(UTC) if one.HasField("last_started_time") else None,
        next=due.ToDatetime(UTC) if due.seconds and not runs else None,
        evidence={
            "pod": one.last_worker_identity,
            "heartbeat": heard.ToDatetime(UTC) if heard.seconds else None,
            "detail": one.last_failure.message,
        },
    )


def _said(error: RPCError) -> str:
    return f"{error.status.name} {error.message}"
