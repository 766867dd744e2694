"""The miner's HTTP side, asked over real HTTP by the validator's own client."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from uuid import NAMESPACE_URL, uuid4, uuid5

import pytest

from adapters.forecast_reader import CommittedForecast, ForecastReader
from adapters.object_store import ObjectStore
from protocol.commitment import Commitment
from protocol.identity import PrivateKey
from protocol.messages import (
    ForecastRequest,
    KerchunkCompleted,
    KerchunkError,
    KerchunkNotFound,
    KerchunkProcessing,
)
from protocol.tokens import Access, sign_access
from tests.activities.miner.conftest import LAYOUT, NOW, VALIDATOR, Stage
from tests.activities.miner.scene import code, forecast_made, kerchunk, scene
from tests.activities.miner.validator import receipt_of
from weather.faults import BadAnswer, MinerReportedError, MinerTimeout, MinerUnreachable

MakeStage = Callable[..., Stage]
STRANGER = PrivateKey.from_bytes(bytes([9] * 32))
FORECAST, KERCHUNK = "/weather-forecast-request", "/weather-kerchunk-request"


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
        on.temporal = False
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
        unknown, _ = await client.poll_commitment(miner, str(uuid5(NAMESPACE_URL, "another job")))
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
        reader = ForecastReader(client, ObjectStore(tmp_path / "validator"))
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
