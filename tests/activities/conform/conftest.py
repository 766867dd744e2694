"""Reference miners on a real port that do their job in a thread, and the validator that examines them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.types import ASGIApp
from temporalio.testing import ActivityEnvironment

from activities.messages.inference import MinerJobInput, Requested, SubmitCommitment
from adapters.clock import Clock
from adapters.grib_decoder import GribDecoder
from adapters.http_service import serving
from miner.activities import MinerActivities
from miner.host import hosted, open_premises
from miner.inputs import Library
from miner.premises import HostedMiner, Premises
from miner.service import MinerService
from miner.settings import MinerSettings
from protocol.identity import PrivateKey
from protocol.layout import Layout, load_layout
from starter.conform.session import Report, conform, listening
from starter.conform.validator import Options
from starter.ports import free_ports
from tests.activities.miner.conftest import PRODUCT, SEED, archive_url, decoder  # noqa: F401 - fixtures
from weather.faults import EgressDown
from workers.settings import Settings

T0 = datetime(2026, 11, 22, 18, tzinfo=UTC)
GRID, LEADS, LEVEL = "tiny", (6, 12, 18, 24, 30, 36), 500
STEPS = ("fetch_gfs", "run_inference", "write_store", "sign_commitment")
Hook = Callable[[Path, Layout], None]


@dataclass
class Departure:
    """What a miner does otherwise: its service, what stands before it, what happens to its store after a step."""

    service: type[MinerService] = MinerService
    kind: str = "persistence"
    mask: Callable[[ASGIApp], ASGIApp] = lambda app: app
    after: Mapping[str, Hook] = field(default_factory=dict)
    pushes: int = 200
    insists: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)
    validator: Mapping[str, Any] = field(default_factory=dict)


@pytest.fixture(scope="session")
def grids(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The points of `5p625-small` with one level and few leads."""
    folder = tmp_path_factory.mktemp("grids")
    small = {
        kind: json.loads((resources.files(package) / f"{kind}s" / "5p625-small.json").read_bytes())
        for package, kind in (("protocol", "layout"), ("weather", "rule"))
    }
    layout = small["layout"] | {"grid": GRID, "lead_time_hours": LEADS, "level_hectopascal": [LEVEL]}
    rules = small["rule"]
    rules["grid"]["name"] = GRID
    rules["era5_final"]["groups"] = [{"lead_time_hours": [24, 36], "name": "days-1-2", "weight": 1}]
    for one in rules["era5_final"]["fields"]:
        if one["levels"] != [0]:
            one |= {"levels": [LEVEL], "weights": [1900]}
    (folder / f"{GRID}.layout.json").write_text(json.dumps(layout))
    (folder / f"{GRID}.rules.json").write_text(json.dumps(rules))
    return folder


@dataclass
class Scene:
    """A miner and its validator; `examine` plays one against the other."""

    folder: Path
    grids: Path
    archive_url: str
    decoder: GribDecoder

    async def examine(self, departure: Departure | None = None, **options: Any) -> Report:
        departure = departure or Departure()
        here, there = (f"127.0.0.1:{port}" for port in free_ports(2))
        self.prepare(there, departure.validator)
        settings = self.settings(f"http://{here}", departure.kind)
        premises = open_premises(settings, Clock())
        (me,) = (hosted(settings, miner) for miner in settings.miners)
        service = departure.service(me, premises, Job(self, settings, premises, me, departure).start)
        app = Starlette(routes=[Mount("/calm", departure.mask(service.app()))])
        with closing(premises.jobs):
            async with serving(app, listening(here)):
                return await conform(self.options(f"http://{here}/calm", there, **departure.options, **options))

    def options(self, url: str, listen: str, **changes: Any) -> Options:
        settings = Settings(
            network="unknown",
            temporal_address="",
            temporal_namespace="",
            object_store="",
            grid=GRID,
            grid_folder=self.grids,
            gfs_base_urls=(self.archive_url,),
            gfs_product=PRODUCT,
            egress_allow="127.0.0.0/8",
            verification_wait_minutes=0.5,
        )
        quick = {"poll_seconds": 0.1, "push_seconds": 10, "listen": listen, "tell": lambda line: None}
        given: dict[str, Any] = quick | changes
        return Options(url=url, state=self.folder / "validator", settings=settings, init_time=T0, **given)

    def settings(self, url: str, kind: str = "persistence") -> MinerSettings:
        return MinerSettings(
            port=0,
            public_url=url,
            temporal_address="",
            data_dir=self.folder / "miner",
            registry=self.folder / "registry.toml",
            gfs_base_url=self.archive_url,
            gfs_product=PRODUCT,
            climatology_url=f"{self.archive_url}/climatology",
            extra_layouts=self.grids,
            miner=[
                {
                    "name": "calm",
                    "key_file": self.folder / "calm.key",
                    "base_path": "/calm",
                    "kind": kind,
                    "parameters": {"seed": SEED} if kind == "skilful" else {},
                }
            ],
        )

    def prepare(self, listen: str, validator: Mapping[str, Any] = MappingProxyType({})) -> None:
        """Keys and the miner's registry, in which the validator stands."""
        (self.folder / "validator").mkdir()
        hotkeys = {}
        for name in ("calm", "validator/validator", "validator/requests"):
            key = PrivateKey.generate()
            key.save(self.folder / f"{name}.key")
            hotkeys[name] = key.hotkey
        entry = {
            "name": "north",
            "hotkey": hotkeys["validator/validator"],
            "request_keys": [hotkeys["validator/requests"]],
            "base_url": f"http://{listen}",
            **validator,
        }
        lines = [f"{name} = {json.dumps(value)}" for name, value in entry.items()]
        (self.folder / "registry.toml").write_text("\n".join(['network = "test"', "[[validator]]", *lines]))


class Job:
    """What `MinerJob` does, in a thread."""

    def __init__(
        self, scene: Scene, settings: MinerSettings, premises: Premises, me: HostedMiner, departure: Departure
    ) -> None:
        library = Library(settings, scene.decoder, premises.clock)
        self.activities = MinerActivities({me.key.hotkey: me}, premises, library)
        self.premises, self.departure = premises, departure
        self.layout = load_layout(GRID, scene.grids)
        self.begun: dict[str, asyncio.Task[None]] = {}

    async def start(self, job: MinerJobInput, wanted: Requested) -> None:
        if job.job_id not in self.begun:
            self.begun[job.job_id] = asyncio.create_task(asyncio.to_thread(self._do, job, wanted.validator))

    def _do(self, job: MinerJobInput, validator: str) -> None:
        environment, store = ActivityEnvironment(), self.premises.store(job.job_id)
        for step in STEPS:
            environment.run(getattr(self.activities, step), job)
            if step in self.departure.after:
                unfinished = store.with_name(f"{store.name}.part")
                self.departure.after[step](store if store.exists() else unfinished, self.layout)
        pushed = SubmitCommitment(job=job, validator=validator)
        for _ in range(self.departure.pushes):
            try:
                environment.run(self.activities.submit_commitment, pushed)
                break
            except EgressDown as refused:
                if refused.found == "status 404":
                    break
        if self.departure.insists:
            environment.run(self.activities.submit_commitment, pushed)


def failed(report: Report) -> set[str]:
    """The names of what failed."""
    return {one.check for one in report.checks if one.result == "fail"}


@pytest.fixture
def scene(tmp_path: Path, grids: Path, archive_url: str, decoder: GribDecoder) -> Scene:  # noqa: F811 - fixtures
    return Scene(tmp_path, grids, archive_url, decoder)
