"""The embedded Temporal server: its command line, and what must hold in it after every start."""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path

from google.protobuf.duration_pb2 import Duration
from temporalio.api.enums.v1 import IndexedValueType, TaskQueueType
from temporalio.api.namespace.v1 import NamespaceConfig
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest, ListSearchAttributesRequest
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest, DescribeTaskQueueRequest, UpdateNamespaceRequest
from temporalio.client import Client
from temporalio.service import RPCError

from weather.faults import ConfigurationInvalid, PlatformFault

RETENTION = timedelta(days=30)
READY_SECONDS = 15.0
_KEYWORDS = ("Run", "Miner", "Stage", "Pass", "Campaign", "Cause", "Spec", "TruthVersion")
SEARCH_ATTRIBUTES = {"BarographInit": "Datetime"} | {f"Barograph{name}": "Keyword" for name in _KEYWORDS}


def find_binary() -> Path:
    """The `temporal` that was installed with this Python, else the one on the path."""
    found = shutil.which("temporal", path=Path(sys.executable).parent) or shutil.which("temporal")
    if found is None:
        raise ConfigurationInvalid("no `temporal` binary; install the extra `embedded` or put the CLI on the path")
    return Path(found)


def binary_version(binary: Path) -> str:
    """Such as `1.9.1`."""
    told = subprocess.run([binary, "--version"], capture_output=True, text=True, timeout=10, check=True).stdout
    version = re.search(r"version (\S+)", told)
    if version is None:
        raise ConfigurationInvalid(f"{binary} does not tell its version", found=told)
    return version[1]


def start_command(database: Path, port: int, ui_port: int | None = None, *, durable: bool = True) -> list[str]:
    """Without `durable` the last commits may be lost at power loss (never at a crash); it is twice as fast."""
    dynamic = ("enableFairness=true", "numTaskqueueReadPartitions=1", "numTaskqueueWritePartitions=1")
    return [
        *(str(find_binary()), "server", "start-dev", "--ip", "127.0.0.1", "--port", str(port)),
        *(("--headless",) if ui_port is None else ("--ui-port", str(ui_port), "--ui-disable-news-fetch")),
        *("--db-filename", str(database), "--sqlite-pragma", "journal_mode=WAL", "--log-level", "warn"),
        *(() if durable else ("--sqlite-pragma", "synchronous=NORMAL")),
        *(part for value in dynamic for part in ("--dynamic-config-value", f"matching.{value}")),
    ]


async def wait_until_ready(client: Client) -> None:
    """Return when the namespace is described; PlatformFault after fifteen seconds."""
    deadline = asyncio.get_running_loop().time() + READY_SECONDS
    while (why := await namespace_problem(client)) is not None:
        if asyncio.get_running_loop().time() > deadline:
            raise PlatformFault(f"Temporal was not ready within {READY_SECONDS:.0f} s", found=why)
        await asyncio.sleep(0.1)


async def namespace_problem(client: Client) -> str | None:
    """Why the client's namespace cannot be described, or None."""
    try:
        await client.workflow_service.describe_namespace(
            DescribeNamespaceRequest(namespace=client.namespace), timeout=timedelta(seconds=3)
        )
    except RPCError as error:
        return f"{error.status.name}: {error.message}"
    return None


async def wait_until_polled(client: Client, queues: Iterable[tuple[str, TaskQueueType.ValueType]], pid: int) -> None:
    """Return when the process polls each queue; it must keep the SDK's identity, `<pid>@<host>`."""
    for name, kind in queues:
        request = DescribeTaskQueueRequest(
            namespace=client.namespace, task_queue=TaskQueue(name=name), task_queue_type=kind
        )
        while True:
            described = await client.workflow_service.describe_task_queue(request)
            if any(poller.identity.startswith(f"{pid}@") for poller in described.pollers):
                break
            await asyncio.sleep(0.2)


async def missing_search_attributes(client: Client) -> dict[str, IndexedValueType.ValueType]:
    """The attributes that a start could not carry; ConfigurationInvalid where one has another type."""
    request = ListSearchAttributesRequest(namespace=client.namespace)
    there = (await client.operator_service.list_search_attributes(request)).custom_attributes
    wanted = {name: _indexed(kind) for name, kind in SEARCH_ATTRIBUTES.items()}
    if wrong := [name for name, kind in wanted.items() if there.get(name, kind) != kind]:
        raise ConfigurationInvalid(f"search attributes of another type: {', '.join(wrong)}")
    return {name: kind for name, kind in wanted.items() if name not in there}


def _indexed(kind: str) -> IndexedValueType.ValueType:
    return IndexedValueType.Value(f"INDEXED_VALUE_TYPE_{kind.upper()}")


async def prepare(client: Client) -> None:
    """Retention and search attributes, idempotently; to be done after every start of the embedded server."""
    await wait_until_ready(client)
    if missing := await missing_search_attributes(client):
        await client.operator_service.add_search_attributes(
            AddSearchAttributesRequest(namespace=client.namespace, search_attributes=missing)
        )
    retention = NamespaceConfig(workflow_execution_retention_ttl=Duration(seconds=int(RETENTION.total_seconds())))
    await client.workflow_service.update_namespace(UpdateNamespaceRequest(namespace=client.namespace, config=retention))
