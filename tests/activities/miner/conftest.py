"""A world for miners: a real archive over HTTP, a validator's call, and premises in a temporary folder."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import pytest
import uvicorn

from activities.messages.inference import MinerJobInput
from adapters.archive_server.app import archive_app
from adapters.archive_server.world import PlanetWorld
from adapters.clock import Clock
from adapters.gfs_archive import GfsArchive
from adapters.grib_decoder import GribDecoder
from adapters.inputs import fetch_fields
from adapters.object_store import ObjectStore
from miner.activities import MinerActivities
from miner.host import hosted, open_premises
from miner.inputs import Library
from miner.jobs import job_of
from miner.premises import HostedMiner, Premises
from miner.settings import MinerSettings
from protocol import names
from protocol.identity import PrivateKey
from protocol.layout import Layout, load_layout
from protocol.messages import ForecastRequestData, InitMetadata, InputObject, input_data_hash
from tests.fixed_clock import FixedClock

T0 = datetime(2026, 11, 22, 18, tzinfo=UTC)
NOW = datetime(2026, 11, 22, 22, tzinfo=UTC)
SMALL = load_layout("5p625-small")
LAYOUT = Layout.of_value(
    {
        **SMALL.value,
        "grid": "tiny",
        "lead_time_hours": [60, 120, 180, 240],
        "level_hectopascal": [500, 1000],
        "variables": [one for one in SMALL.value["variables"] if one["name"] in ("2t", "10v", "msl", "t", "z")],
    }
)
PRODUCT = "pgrb2.5p62"
SEED = 7
VALIDATOR = PrivateKey.from_bytes(bytes([2] * 32))
REQUESTS = PrivateKey.from_bytes(bytes([3] * 32))


@pytest.fixture(scope="session")
def archive_url() -> Iterator[str]:
    listener = socket.socket(proto=socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    world = PlanetWorld(SEED, SMALL.grid_value, SMALL.level_hectopascal)
    app = archive_app(world, PRODUCT, now=datetime(2027, 2, 1, tzinfo=UTC))
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off"))
    thread = Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    thread.join()


@pytest.fixture(scope="session")
def decoder() -> Iterator[GribDecoder]:
    started = GribDecoder()
    yield started
    started.close()


@pytest.fixture(scope="session")
def objects(archive_url: str, decoder: GribDecoder, tmp_path_factory: pytest.TempPathFactory) -> list[InputObject]:
    """What the validator fetched as inputs."""
    store = ObjectStore(tmp_path_factory.mktemp("validator"))

    async def fetch() -> list[InputObject]:
        async with httpx.AsyncClient(trust_env=False) as client:
            archive = GfsArchive([archive_url], PRODUCT, client, Clock())
            found = [
                await fetch_fields(archive, decoder, store, LAYOUT.grid_value, cycle, 0, LAYOUT.fields())
                for cycle in (T0, T0 - timedelta(hours=6))
            ]
        return [one for fetched in found for one in fetched.objects]

    return asyncio.run(fetch())


@pytest.fixture
def make_call(objects: list[InputObject]) -> Callable[[str], ForecastRequestData]:
    """The call to a miner."""

    def make(hotkey: str) -> ForecastRequestData:
        run_id = names.run_id(T0)
        return ForecastRequestData(
            network="test",
            run_id=run_id,
            purpose="live",
            job_id=names.job_id("test", run_id, hotkey),
            gfs_init_time=T0,
            gfs_init_metadata=InitMetadata(objects=tuple(objects)),
            input_data_hash=input_data_hash(objects),
            forecast_step_hours=60,
            inference_steps=4,
            grid=LAYOUT.grid,
            layout_digest=LAYOUT.digest,
            score_spec_digest="22" * 32,
            first_scored_lead_hours=60,
            requested_at=NOW,
            commit_deadline=NOW + timedelta(hours=1),
            retain_until=NOW + timedelta(days=15),
        )

    return make


@dataclass
class Stage:
    """One or more miners in one process, without HTTP side and Temporal."""

    settings: MinerSettings
    premises: Premises
    miners: dict[str, HostedMiner]
    activities: MinerActivities
    make_call: Callable[[str], ForecastRequestData]

    def miner(self, name: str) -> HostedMiner:
        return next(miner for miner in self.miners.values() if miner.settings.name == name)

    def receive(self, name: str) -> tuple[ForecastRequestData, MinerJobInput]:
        """What call 2 leaves behind."""
        hotkey = self.miner(name).key.hotkey
        call = self.make_call(hotkey)
        self.premises.jobs.receive(job_of(call, hotkey, NOW))
        return call, MinerJobInput(job_id=call.job_id, hotkey=hotkey, run_id=call.run_id, name=name)


MakeSettings = Callable[..., MinerSettings]


def write_registry(folder: Path, validator_url: str) -> None:
    text = f'network = "test"\n[[validator]]\nname = "north"\nhotkey = "{VALIDATOR.hotkey}"\n'
    text += f'request_keys = ["{REQUESTS.hotkey}"]\nbase_url = "{validator_url}"\n'
    (folder / "registry.toml").write_text(text, encoding="utf-8")


def with_key(folder: Path, miner: Mapping[str, Any]) -> dict[str, object]:
    key_file = folder / f"{miner['name']}.key"
    PrivateKey.generate().save(key_file)
    planet = {"parameters": {"seed": SEED, **miner.get("parameters", {})}} if miner.get("kind") == "skilful" else {}
    return {"key_file": key_file, "base_path": f"/{miner['name']}", **miner, **planet}


@pytest.fixture
def make_settings(tmp_path: Path, archive_url: str) -> MakeSettings:
    def make(
        *miners: Mapping[str, object], port: int = 8090, validator_url: str = "http://127.0.0.1:9"
    ) -> MinerSettings:
        write_registry(tmp_path, validator_url)
        (tmp_path / "tiny.layout.json").write_bytes(LAYOUT.body)
        return MinerSettings(
            port=port,
            temporal_address="127.0.0.1:7233",
            data_dir=tmp_path / "state",
            registry=tmp_path / "registry.toml",
            gfs_base_url=archive_url,
            gfs_product=PRODUCT,
            climatology_url=f"{archive_url}/climatology",
            extra_layouts=tmp_path,
            miner=[with_key(tmp_path, miner) for miner in miners],
        )

    return make


@pytest.fixture
def make_stage(
    make_settings: MakeSettings, decoder: GribDecoder, make_call: Callable[[str], ForecastRequestData]
) -> Iterator[Callable[..., Stage]]:
    made: list[Stage] = []

    def make(*miners: Mapping[str, object], **more: object) -> Stage:
        settings = make_settings(*miners, **more)
        premises = open_premises(settings, FixedClock(NOW))
        hosts = {one.key.hotkey: one for one in (hosted(settings, miner) for miner in settings.miners)}
        library = Library(settings, decoder, premises.clock)
        stage = Stage(settings, premises, hosts, MinerActivities(hosts, premises, library), make_call)
        made.append(stage)
        return stage

    yield make
    for stage in made:
        stage.premises.jobs.close()
