"""Miners that listen on a real port, and what a validator needs to speak with them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from ipaddress import ip_network
from uuid import uuid4

import httpx
from temporalio.testing import ActivityEnvironment

from activities.messages.inference import MinerJobInput, Requested
from adapters.egress import Egress
from adapters.http_service import bound, serving
from adapters.miner_client import MinerClient
from miner.host import services
from protocol.identity import PrivateKey
from protocol.messages import (
    ForecastRequestData,
    KerchunkData,
    KerchunkRequest,
)
from protocol.problems import Problem, Refusal
from protocol.registry import RosterEntry
from protocol.tokens import Call, sign_request
from tests.activities.miner.conftest import REQUESTS, VALIDATOR, Stage
from tests.fixed_clock import FixedClock

MakeStage = Callable[..., Stage]
STRANGER = PrivateKey.from_bytes(bytes([9] * 32))
FORECAST, KERCHUNK = "/weather-forecast-request", "/weather-kerchunk-request"


@dataclass
class Scene:
    """Miners that listen, and what their validators need to speak with them."""

    stage: Stage
    url: str
    started: list[tuple[MinerJobInput, Requested]]
    clock: FixedClock
    temporal: bool = True

    def roster(self, name: str) -> RosterEntry:
        hotkey = self.stage.miner(name).key.hotkey
        return RosterEntry(hotkey=hotkey, uid=None, name=name, base_url=f"{self.url}/{name}", tls_sha256=None)

    def client(self, signer: PrivateKey = REQUESTS, clock: FixedClock | None = None) -> MinerClient:
        clock = clock or self.clock
        egress = Egress(clock, (ip_network("127.0.0.0/8"),))
        return MinerClient(signer, VALIDATOR.hotkey, egress, clock)

    def call(self, name: str) -> ForecastRequestData:
        return self.stage.make_call(self.stage.miner(name).key.hotkey)

    async def post(self, name: str, path: str, body: bytes, token: str, **headers: str) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json", **headers}
        async with httpx.AsyncClient(trust_env=False) as client:
            return await client.post(f"{self.url}/{name}{path}", content=body, headers=headers)

    def token(self, name: str, path: str, body: bytes, key: PrivateKey = VALIDATOR) -> str:
        call = Call(self.stage.miner(name).key.hotkey, "POST", f"/{name}{path}", body)
        return sign_request(key, call, self.clock.now())

    async def get(self, path: str, token: str | None) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        async with httpx.AsyncClient(trust_env=False) as client:
            return await client.get(f"{self.url}{path}", headers=headers)


def code(response: httpx.Response) -> tuple[int, str]:
    """Status and problem code; the document must hold."""
    assert response.headers["content-type"] == "application/problem+json"
    return response.status_code, Problem.parse(response.content).code


def kerchunk(job_id: str) -> bytes:
    return KerchunkRequest(nonce=str(uuid4()), data=KerchunkData(job_id=job_id)).body


@asynccontextmanager
async def scene(make_stage: MakeStage, *miners: Mapping[str, object]) -> AsyncGenerator[Scene]:
    listener = bound("127.0.0.1", 0)
    port = listener.getsockname()[1]
    stage = make_stage(*miners, port=port)
    clock = stage.premises.clock
    assert isinstance(clock, FixedClock)
    on = Scene(stage, f"http://127.0.0.1:{port}", [], clock)

    async def start_job(job: MinerJobInput, wanted: Requested) -> None:
        if not on.temporal:
            raise Refusal("NotReady", "no Temporal")
        on.started.append((job, wanted))

    async with serving(services(stage.miners.values(), stage.premises, start_job), listener):
        yield on


def forecast_made(stage: Stage, name: str) -> MinerJobInput:
    """The job of a miner, done and signed."""
    _, job = stage.receive(name)
    environment = ActivityEnvironment()
    for step in ("fetch_gfs", "run_inference", "write_store", "sign_commitment"):
        environment.run(getattr(stage.activities, step), job)
    return job
