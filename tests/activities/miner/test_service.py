"""The miner's HTTP side, asked over real HTTP by the validator's own client."""

from __future__ import annotations

import asyncio
import hashlib
import json
import socket
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from temporalio.testing import ActivityEnvironment

from activities.messages.inference import MinerJobInput, Requested
from adapters.clock import FixedClock
from adapters.egress import Egress
from adapters.forecast_reader import CommittedForecast, ForecastReader
from adapters.miner_client import MinerClient
from adapters.object_store import LocalObjects
from miner.host import Server
from protocol.commitment import Commitment
from protocol.identity import PrivateKey
from protocol.messages import (
    ForecastRequest,
    ForecastRequestData,
    KerchunkCompleted,
    KerchunkData,
    KerchunkError,
    KerchunkNotFound,
    KerchunkProcessing,
    KerchunkRequest,
)
from protocol.problems import Problem, Refusal
from protocol.registry import RosterEntry
from protocol.tokens import Access, Call, sign_access, sign_request
from tests.activities.miner.conftest import LAYOUT, NOW, REQUESTS, VALIDATOR, Stage
from tests.activities.miner.validator import receipt_of
from weather.faults import BadAnswer, MinerReportedError, MinerTimeout, MinerUnreachable

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
    listener = socket.socket(proto=socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    stage = make_stage(*miners, port=port)
    started: list[tuple[MinerJobInput, Requested]] = []

    async def start_job(job: MinerJobInput, wanted: Requested) -> None:
        if stage.settings.planet_seed < 0:
            raise Refusal("NotReady", "no Temporal")
        started.append((job, wanted))

    server = Server(list(stage.miners.values()), stage.premises, start_job)
    stop = asyncio.Event()
    serving = asyncio.create_task(server.serve_until(stop, listener))
    try:
        clock = stage.premises.clock
        assert isinstance(clock, FixedClock)
        yield Scene(stage, f"http://127.0.0.1:{port}", started, clock)
    finally:
        stop.set()
        await serving


def forecast_made(stage: Stage, name: str) -> MinerJobInput:
    """The job of a miner, done and signed."""
    _, job = stage.receive(name)
    environment = ActivityEnvironment()
    for step in ("fetch_gfs", "run_inference", "write_store", "sign_commitment"):
        environment.run(getattr(stage.activities, step), job)
    return job


async def test_call_starts_the_job_once_and_a_repeat_joins_it(make_stage: MakeStage) -> None:
    async with scene(make_stage, {"name": "calm", "cheat": "commits_late"}) as on:
        client, call = on.client(), on.call("calm")
        first = await client.request_forecast(on.roster("calm"), call)
        later = call.model_copy(update={"commit_deadline": NOW + timedelta(hours=2)})
        second = await client.request_forecast(on.roster("calm"), later)
    assert first == second and first.status == "received" and first.input_data_hash is None
    (job, wanted), (_, again) = on.started
    assert job.job_id == call.job_id and job.name == "calm" and job.hold_back == timedelta(seconds=2)
    assert wanted.validator == VALIDATOR.hotkey and wanted.deadline == call.commit_deadline
    assert again.deadline == NOW + timedelta(hours=2)


async def test_call_is_answered_202_when_new_and_200_when_known(make_stage: MakeStage) -> None:
    async with scene(make_stage, {"name": "calm"}) as on:
        statuses = []
        for _ in range(2):
            body = ForecastRequest(nonce=str(uuid4()), data=on.call("calm")).body
            response = await on.post("calm", FORECAST, body, on.token("calm", FORECAST, body))
            assert response.headers["barograph-answer"]
            statuses.append(response.status_code)
    assert statuses == [202, 200]


async def test_other_rules_for_the_same_job_are_a_conflict(make_stage: MakeStage) -> None:
    async with scene(make_stage, {"name": "calm"}) as on:
        await on.client().request_forecast(on.roster("calm"), on.call("calm"))
        other = on.call("calm").model_copy(update={"score_spec_digest": "44" * 32})
        with pytest.raises(MinerReportedError) as refused:
            await on.client().request_forecast(on.roster("calm"), other)
    assert refused.value.found == "JobConflict"
    assert len(on.started) == 1


@pytest.mark.parametrize(
    "change",
    [{"layout_digest": "55" * 32}, {"grid": "unknown"}, {"inference_steps": 3}, {"network": "other"}],
)
async def test_call_that_cannot_be_done_is_unsupported(make_stage: MakeStage, change: dict[str, object]) -> None:
    async with scene(make_stage, {"name": "calm"}) as on:
        with pytest.raises(MinerReportedError) as refused:
            await on.client().request_forecast(on.roster("calm"), on.call("calm").model_copy(update=change))
    assert refused.value.found == "Unsupported"
    assert not on.started


async def test_call_is_not_ready_while_the_job_cannot_be_started(make_stage: MakeStage) -> None:
    async with scene(make_stage, {"name": "calm"}) as on:
        on.stage.settings = on.stage.settings.model_copy(update={"planet_seed": -1})
        with pytest.raises(MinerUnreachable) as refused:
            await on.client().request_forecast(on.roster("calm"), on.call("calm"))
    assert refused.value.found == "503" and refused.value.retry_after == timedelta(seconds=30)


async def test_requests_without_proof_are_refused(make_stage: MakeStage) -> None:
    async with scene(make_stage, {"name": "calm"}, {"name": "gale"}) as on:
        body = kerchunk(on.call("calm").job_id)
        good = on.token("calm", KERCHUNK, body)
        assert (await on.post("calm", KERCHUNK, body, good)).status_code == 200
        assert code(await on.post("calm", KERCHUNK, body, good)) == (401, "Replayed")
        assert code(await on.post("calm", KERCHUNK, body + b" ", on.token("calm", KERCHUNK, body)))[0] == 401
        assert code(await on.post("gale", KERCHUNK, body, on.token("calm", KERCHUNK, body))) == (403, "Forbidden")
        stranger = on.token("calm", KERCHUNK, body, STRANGER)
        assert code(await on.post("calm", KERCHUNK, body, stranger)) == (401, "Unauthenticated")
        assert code(await on.post("calm", KERCHUNK, body, "nonsense")) == (401, "Unauthenticated")
        old = on.token("calm", KERCHUNK, body)
        on.clock.advance(timedelta(minutes=5))
        assert code(await on.post("calm", KERCHUNK, body, old)) == (401, "TokenExpired")


async def test_bodies_that_are_not_the_protocol_are_refused(make_stage: MakeStage) -> None:
    async with scene(make_stage, {"name": "calm"}) as on:
        large = b" " * 5000
        assert code(await on.post("calm", KERCHUNK, large, "t")) == (413, "TooLarge")
        body = json.dumps({"nonce": str(uuid4()), "data": {}}).encode()
        token = on.token("calm", KERCHUNK, body)
        assert code(await on.post("calm", KERCHUNK, body, token)) == (400, "Malformed")
        text = {"Content-Type": "text/plain"}
        assert code(await on.post("calm", KERCHUNK, body, token, **text)) == (415, "NotAcceptable")


async def test_stages_are_told_until_the_commitment_is_there(make_stage: MakeStage) -> None:
    async with scene(make_stage, {"name": "calm"}) as on:
        client, miner = on.client(), on.roster("calm")
        call, job = on.stage.receive("calm")
        jobs = on.stage.premises.jobs
        unknown, _ = await client.poll_commitment(miner, str(job.job_id).replace("d", "e"))
        assert isinstance(unknown, KerchunkNotFound)
        told = []
        for stage in ("fetching", "inference"):
            jobs.enter(job.job_id, stage)
            told.append((await client.poll_commitment(miner, job.job_id))[0])
        jobs.fail(job.job_id, "inference_failed", "no graphics card")
        failed, _ = await client.poll_commitment(miner, job.job_id)
    fetching, inference = told
    assert isinstance(fetching, KerchunkProcessing) and fetching.stage == "fetching"
    assert fetching.input_data_hash is None
    assert isinstance(inference, KerchunkProcessing) and inference.input_data_hash == call.input_data_hash
    assert isinstance(failed, KerchunkError) and failed.error.code == "inference_failed"


async def test_committed_forecast_is_verified_and_read_by_a_validator(make_stage: MakeStage, tmp_path: Path) -> None:
    async with scene(make_stage, {"name": "calm"}) as on:
        client, miner = on.client(), on.roster("calm")
        job = await asyncio.to_thread(forecast_made, on.stage, "calm")
        answer, _ = await client.poll_commitment(miner, job.job_id)
        assert isinstance(answer, KerchunkCompleted)
        commitment = Commitment.parse(answer.commitment)
        assert answer.verification_hash == commitment.root
        client.checked_token(miner, answer)
        reader = ForecastReader(client, LocalObjects(tmp_path / "validator"))
        await reader.verify_manifest(CommittedForecast(miner, commitment, LAYOUT))
        stored = await client.deliver_receipt(miner, receipt_of(VALIDATOR, commitment, on.clock))
    assert stored.status == "stored"
    assert on.stage.premises.jobs.receipt(job.job_id, VALIDATOR.hotkey)


async def test_receipt_of_another_commitment_is_not_stored(make_stage: MakeStage) -> None:
    async with scene(make_stage, {"name": "calm"}) as on:
        job = await asyncio.to_thread(forecast_made, on.stage, "calm")
        row = on.stage.premises.jobs.get(job.job_id)
        assert row is not None and row.offer is not None
        other = Commitment.parse(row.offer.commitment).model_copy(update={"salt": "00" * 32})
        with pytest.raises(MinerReportedError) as refused:
            await on.client().deliver_receipt(on.roster("calm"), receipt_of(VALIDATOR, other, on.clock))
    assert refused.value.found == "BindingMismatch"
    assert on.stage.premises.jobs.receipt(job.job_id, VALIDATOR.hotkey) is None


async def test_objects_are_served_as_committed_and_only_with_a_token_for_the_job(make_stage: MakeStage) -> None:
    async with scene(make_stage, {"name": "calm"}, {"name": "gale"}) as on:
        job = await asyncio.to_thread(forecast_made, on.stage, "calm")
        token = await on.client().access_token(on.roster("calm"), job.job_id)
        manifest = (await on.get(f"/calm/zarr/{job.job_id}/manifest.json", token)).json()
        for path, size, digest in manifest["objects"][::7]:
            served = await on.get(f"/calm/zarr/{job.job_id}/{path}", token)
            assert served.status_code == 200 and "content-encoding" not in served.headers
            assert served.headers["content-length"] == str(size)
            assert hashlib.sha256(served.content).hexdigest() == digest
        path = f"/calm/zarr/{job.job_id}/zarr.json"
        key = on.stage.miner("calm").key
        other_job = sign_access(
            key, Access(key.hotkey, VALIDATOR.hotkey, on.call("gale").job_id), "x", (NOW, timedelta(minutes=20))
        )
        forged = sign_access(
            STRANGER, Access(key.hotkey, VALIDATOR.hotkey, job.job_id), "x", (NOW, timedelta(minutes=20))
        )
        assert code(await on.get(path, None)) == (401, "Unauthenticated")
        assert code(await on.get(path, forged)) == (401, "Unauthenticated")
        assert code(await on.get(path, other_job)) == (403, "Forbidden")
        for outside in ("manifest.json.bak", "%2e%2e/%2e%2e/miner.sqlite", "z/c/0/0/0/1"):
            assert code(await on.get(f"/calm/zarr/{job.job_id}/{outside}", token)) == (404, "UnknownJob")
        on.clock.advance(timedelta(hours=3))
        assert code(await on.get(path, token)) == (401, "TokenExpired")


async def test_nothing_is_served_before_the_commitment(make_stage: MakeStage) -> None:
    async with scene(make_stage, {"name": "calm"}) as on:
        _, job = on.stage.receive("calm")
        key = on.stage.miner("calm").key
        access = Access(key.hotkey, VALIDATOR.hotkey, job.job_id)
        token = sign_access(key, access, "x", (NOW, timedelta(minutes=20)))
        assert code(await on.get(f"/calm/zarr/{job.job_id}/manifest.json", token)) == (404, "UnknownJob")


async def test_health_says_who_and_when(make_stage: MakeStage) -> None:
    async with scene(make_stage, {"name": "calm"}) as on:
        answer = await on.get("/calm/health", None)
    assert answer.json() == {
        "status": "ok",
        "protocol": ["barograph/1"],
        "hotkey": on.stage.miner("calm").key.hotkey,
        "network": "test",
        "time": "2026-11-22T22:00:00Z",
    }


async def test_cheats_answer_garbage_or_not_at_all_beside_an_honest_miner(make_stage: MakeStage) -> None:
    miners = (
        {"name": "calm"},
        {"name": "liar", "cheat": "answers_garbage"},
        {"name": "mute", "cheat": "never_answers"},
    )
    async with scene(make_stage, *miners) as on:
        client = on.client()
        with pytest.raises(BadAnswer):
            await client.request_forecast(on.roster("liar"), on.call("liar"))
        with pytest.raises(MinerTimeout):
            await client.request_forecast(on.roster("mute"), on.call("mute"))
        assert (await client.request_forecast(on.roster("calm"), on.call("calm"))).status == "received"
    assert [job.name for job, _ in on.started] == ["calm"]
