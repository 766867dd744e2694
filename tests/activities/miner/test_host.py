"""A whole host: services, worker and disk, beside a real Temporal test server, archive and validator."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from pathlib import Path

import pytest
from temporalio.testing import WorkflowEnvironment

from adapters.clock import Clock
from adapters.egress import Egress
from adapters.forecast_reader import CommittedForecast, ForecastReader
from adapters.miner_client import MinerClient
from adapters.object_store import ObjectStore
from miner.host import run
from miner.settings import MinerSettings
from protocol.commitment import Commitment
from protocol.identity import PrivateKey
from protocol.messages import ForecastRequestData, KerchunkCompleted
from protocol.registry import RosterEntry
from tests.activities.miner.conftest import LAYOUT, REQUESTS, VALIDATOR, MakeSettings
from tests.activities.miner.validator import FakeValidator, listening
from weather.faults import ConfigurationInvalid

MakeCall = Callable[[str], ForecastRequestData]


@asynccontextmanager
async def hosting(settings: MinerSettings) -> AsyncGenerator[None]:
    stop = asyncio.Event()
    host = asyncio.create_task(run(settings, stop))
    await asyncio.sleep(0)  # it binds its port before it waits for anything
    try:
        yield
    finally:
        stop.set()
        await host


def free_port() -> int:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        return holder.getsockname()[1]


def roster_entry(settings: MinerSettings) -> RosterEntry:
    (miner,) = settings.miners
    hotkey = PrivateKey.load(miner.key_file).hotkey
    url = f"http://127.0.0.1:{settings.port}{miner.base_path}"
    return RosterEntry(hotkey=hotkey, uid=None, name=miner.name, base_url=url, tls_sha256=None)


@pytest.fixture
async def temporal_address() -> AsyncGenerator[str]:
    binary = shutil.which("temporal-test-server", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    async with await WorkflowEnvironment.start_time_skipping(test_server_existing_path=binary) as environment:
        yield environment.client.service_client.config.target_host


def dated_now(call: ForecastRequestData) -> ForecastRequestData:
    now = datetime.now(UTC).replace(microsecond=0)
    deadline, retain_until = now + timedelta(hours=1), now + timedelta(days=9)
    return call.model_copy(update={"requested_at": now, "commit_deadline": deadline, "retain_until": retain_until})


async def test_forecast_is_made_pushed_served_and_still_there_after_a_restart(
    temporal_address: str, make_settings: MakeSettings, make_call: MakeCall, tmp_path: Path
) -> None:
    clock = Clock()
    client = MinerClient(REQUESTS, VALIDATOR.hotkey, Egress(clock, (ip_network("127.0.0.0/8"),)), clock)
    with listening(FakeValidator(VALIDATOR, clock)) as validator:
        settings = make_settings({"name": "calm"}, port=free_port(), validator_url=validator.url)
        settings = settings.model_copy(update={"temporal_address": temporal_address})
        miner = roster_entry(settings)
        call = dated_now(make_call(miner.hotkey))
        async with hosting(settings):
            await client.request_forecast(miner, call)
            assert await asyncio.to_thread(validator.arrived.wait, 60)
        async with hosting(settings):
            answer, _ = await client.poll_commitment(miner, call.job_id)
            assert isinstance(answer, KerchunkCompleted)
            commitment = Commitment.parse(answer.commitment)
            reader = ForecastReader(client, ObjectStore(tmp_path / "validator"))
            await reader.verify_manifest(CommittedForecast(miner, commitment, LAYOUT))
    assert [received.digest for received in validator.received] == [commitment.digest]


async def test_host_without_its_key_registry_or_port_does_not_start(make_settings: MakeSettings) -> None:
    settings = make_settings({"name": "calm"}, port=free_port())
    stop = asyncio.Event()
    with socket.create_server(("127.0.0.1", settings.port)), pytest.raises(ConfigurationInvalid, match="port"):
        await run(settings, stop)
    settings.miners[0].key_file.chmod(0o644)
    with pytest.raises(ConfigurationInvalid, match=r"key of miner calm.*0600"):
        await run(settings, stop)
