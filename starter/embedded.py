"""One machine, no service to install: the files, environments and processes of an embedded stack."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import tomllib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Self

from temporalio.api.enums.v1 import TaskQueueType

from activities import task_queues
from adapters import temporal_server
from adapters.ledger.engine import upgrade
from adapters.temporal_client import connect
from protocol.identity import PrivateKey
from protocol.layout import load_layout
from starter.ports import LOOPBACK, free_ports, require_free
from starter.state_folder import StateFolder
from starter.supervisor import Process
from workers.settings import queues

NAMESPACE = "default"
NETWORK = "embedded"
VALIDATOR = "validator"
REQUESTS = "requests"
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


@dataclass(frozen=True)
class Ports:
    temporal: int
    archive: int
    validator: int
    miners: int
    control_metrics: int
    hybrid_metrics: int
    miners_metrics: int
    ui: int | None = None

    @classmethod
    def free(cls, *, ui: bool = False) -> Self:
        return cls(*free_ports(8 if ui else 7))

    def require_free(self) -> None:
        for purpose, port in vars(self).items():
            if port is not None:
                require_free(port, purpose)


@dataclass(frozen=True)
class World:
    grid: str = "5p625-small"
    product: str = "pgrb2.5p62"
    grid_folder: Path | None = None
    analyses: Path | None = None
    bits: int = 16


@dataclass(frozen=True)
class MinerPlan:
    name: str
    kind: str = "persistence"
    cheat: str | None = None
    parameters: Mapping[str, float | int | str] = field(default_factory=dict)


@dataclass(frozen=True)
class EmbeddedStack:
    """`settings` is more environment of the workers; without `durable` power loss may take the last commits.

    One that `publishes` has a worker for it, and writes weights to a file in its folder.
    """

    folder: StateFolder
    ports: Ports
    world: World
    miners: Sequence[MinerPlan]
    settings: Mapping[str, str] = field(default_factory=dict)
    durable: bool = True
    publishes: bool = False

    @property
    def temporal_address(self) -> str:
        return f"{LOOPBACK}:{self.ports.temporal}"

    @property
    def archive_url(self) -> str:
        return f"http://{LOOPBACK}:{self.ports.archive}"

    @property
    def web_ui(self) -> str | None:
        return f"http://{LOOPBACK}:{self.ports.ui}" if self.ports.ui else None

    @property
    def metrics(self) -> dict[str, str]:
        """Where Prometheus finds each worker's."""
        names = ("control", "hybrid", "miners")
        return {name: f"http://{LOOPBACK}:{getattr(self.ports, f'{name}_metrics')}/metrics" for name in names}

    def write_files(self) -> None:
        """Keys that are not there yet, `registry.toml`, `miners.toml`, `archive.json` and the ledger's schema.

        A registry or a list of miners that fits the stack stays: who stands in it is the operator's business.
        """
        _keep_or_write(self.folder.root / "registry.toml", self._registry())
        _keep_or_write(self.folder.root / "miners.toml", self._miners())
        (self.folder.root / "archive.json").write_text(self._archive(), encoding="utf-8")
        upgrade(self.folder.ledger_url)

    def processes(self) -> list[Process]:
        """Temporal first: it is ready before the others start."""
        return [
            self._temporal(),
            self._server("archive", "--settings", "archive.json", self.ports.archive),
            self._worker("control"),
            self._worker("hybrid"),
            *([self._worker("publish")] if self.publishes else []),
            self._server("miners", "--config", "miners.toml", self.ports.miners),
        ]

    # long: one table of settings
    def environment(self, mode: str) -> dict[str, str]:
        """Of a worker, or of a client with mode `control`; only `control` knows the hotkey."""
        root, archive = self.folder.root, self.archive_url
        shared = {
            "TEMPORAL_ADDRESS": self.temporal_address,
            "TEMPORAL_NAMESPACE": NAMESPACE,
            "BAROGRAPH_WORKER_MODE": mode,
            "BAROGRAPH_METRICS_PORT": str(vars(self.ports).get(f"{mode}_metrics", "")),
            "BAROGRAPH_NETWORK": NETWORK,
            "BAROGRAPH_OBJECT_STORE": self.folder.object_store_url,
            "BAROGRAPH_REGISTRY_PATH": str(root / "registry.toml"),
            "BAROGRAPH_GRID": self.world.grid,
            "BAROGRAPH_GRID_FOLDER": str(self.world.grid_folder or ""),
            "BAROGRAPH_EGRESS_ALLOW": "127.0.0.0/8,::1/128",
            "BAROGRAPH_EGRESS_PROBE_URL": archive,
            "BAROGRAPH_MAX_HOTKEYS_PER_ADDRESS": "none",
            "BAROGRAPH_GFS_BASE_URLS": archive,
            "BAROGRAPH_GFS_PRODUCT": self.world.product,
            "BAROGRAPH_ERA5_ZARR_URL": f"{archive}/era5",
            "BAROGRAPH_CLIMATOLOGY_URL": f"{archive}/climatology",
        }
        ledger = {
            "BAROGRAPH_LEDGER_URL": self.folder.ledger_url,
            "BAROGRAPH_WEIGHTS_FOLDER": str(root) if self.publishes else "",
        }
        control = {
            "BAROGRAPH_HOTKEY_PATH": str(self.folder.key_file(VALIDATOR)),
            "BAROGRAPH_LOG_HEAD_PATH": str(root / "keys" / "log-head"),
            "BAROGRAPH_VALIDATOR_PORT": str(self.ports.validator),
        }
        caller = {"BAROGRAPH_REQUEST_KEY_PATH": str(self.folder.key_file(REQUESTS))}
        own = {"control": ledger | control, "publish": ledger}.get(mode, caller)
        return {**ONE_THREAD, **shared, **own, **self.settings}

    def _temporal(self) -> Process:
        async def ready(_pid: int) -> None:
            await temporal_server.prepare(await connect(self.temporal_address, NAMESPACE))

        database, ports = self.folder.temporal_database, self.ports
        argv = temporal_server.start_command(database, ports.temporal, ports.ui, durable=self.durable)
        return replace(self._process("temporal", argv, ready), ready_seconds=temporal_server.READY_SECONDS)

    def _worker(self, mode: str) -> Process:
        async def ready(pid: int) -> None:
            client = await connect(self.temporal_address, NAMESPACE)
            await temporal_server.wait_until_polled(client, polled(mode), pid)
            if mode == "control":
                await _listening(self.ports.validator)

        argv = [sys.executable, "-m", "starter", "worker", "--mode", mode]
        return replace(self._process(f"worker-{mode}", argv, ready), environment=self.environment(mode))

    def _server(self, name: str, option: str, file: str, port: int) -> Process:
        argv = [sys.executable, "-m", "starter", name, "serve", option, str(self.folder.root / file)]
        return self._process(name, argv, lambda _pid: _listening(port))

    def _process(self, name: str, argv: Sequence[str], ready: Callable[[int], Awaitable[None]]) -> Process:
        return Process(name, argv, self.folder.log_file(name), self.folder.pid_file(name), ONE_THREAD, ready)

    def _hotkey(self, name: str) -> str:
        return PrivateKey.kept(self.folder.key_file(name)).hotkey

    def _registry(self) -> str:
        validator = {
            "name": VALIDATOR,
            "hotkey": self._hotkey(VALIDATOR),
            "request_keys": [self._hotkey(REQUESTS)],
            "base_url": f"http://{LOOPBACK}:{self.ports.validator}",
        }
        miners = [
            {
                "name": miner.name,
                "hotkey": self._hotkey(_key_name(miner)),
                "base_url": f"http://{LOOPBACK}:{self.ports.miners}/{miner.name}",
            }
            for miner in self.miners
        ]
        return _toml({"network": NETWORK}, validator=[validator], miner=miners)

    def _miners(self) -> str:
        host = {
            "port": self.ports.miners,
            "metrics_port": self.ports.miners_metrics,
            "temporal_address": self.temporal_address,
            "temporal_namespace": NAMESPACE,
            "data_dir": "miners",
            "registry": "registry.toml",
            "gfs_base_url": self.archive_url,
            "gfs_product": self.world.product,
            "climatology_url": f"{self.archive_url}/climatology",
            "extra_layouts": self.world.grid_folder,
        }
        miners = [
            {**asdict(miner), "key_file": str(self.folder.key_file(_key_name(miner))), "base_path": f"/{miner.name}"}
            for miner in self.miners
        ]
        return _toml(host, miner=miners)

    def _archive(self) -> str:
        world = self.world
        settings = {
            "port": self.ports.archive,
            "grid_name": world.grid,
            "levels": load_layout(world.grid, world.grid_folder).level_hectopascal,
            "seed": 1,
            "product": world.product,
            "layouts": world.grid_folder,
            "analyses": world.analyses,
            "bits": world.bits,
        }
        return json.dumps(settings, indent=2, default=str)


def polled(mode: str) -> list[tuple[str, TaskQueueType.ValueType]]:
    """What a worker of the mode asks for work."""
    activities = [(queue, TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY) for queue in queues(mode)]
    return activities + [(task_queues.CONTROL, TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW)] * (mode == "control")


def _key_name(miner: MinerPlan) -> str:
    return f"miner-{miner.name}"


def _keep_or_write(file: Path, text: str) -> None:
    """Write the file unless it fits; one that does not is kept aside."""
    if file.exists():
        if _fits(file.read_text(encoding="utf-8"), **tomllib.loads(text)):
            return
        file.replace(file.with_suffix(".old"))
    file.write_text(text, encoding="utf-8")


def _fits(text: str, *, miner: object, validator: Sequence[Mapping[str, object]] = (), **rest: object) -> bool:
    """Whether a file says the same of the stack; its miners and other validators may be any."""
    try:
        found = tomllib.loads(text)
    except ValueError:
        return False
    known = found.get("validator", [])
    ours = all(any(one.items() <= each.items() for each in known) for one in validator)
    return ours and rest.items() <= found.items()


def _toml(table: Mapping[str, object], **tables: Sequence[Mapping[str, object]]) -> str:
    parts = [("", table), *((f"[[{name}]]\n", each) for name, several in tables.items() for each in several)]
    return "\n".join(head + "".join(_members(each)) for head, each in parts)


def _members(table: Mapping[str, object]) -> list[str]:
    return [f"{name} = {_value(value)}\n" for name, value in table.items() if value is not None]


def _value(value: object) -> str:
    """JSON is TOML for strings, numbers and lists; a table inside is written in line."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{name} = {_value(each)}" for name, each in value.items()) + " }"
    return json.dumps(value, default=str)


async def _listening(port: int) -> None:
    while True:
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection(LOOPBACK, port)
            writer.close()
            return await writer.wait_closed()
        await asyncio.sleep(0.1)
