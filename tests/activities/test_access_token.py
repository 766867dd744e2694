"""Step 1 of the verified download: the store's URL and its access token, as call 4 answers them."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from adapters.clock import Clock
from adapters.miner_client import MinerClient
from protocol.canonical import J
from protocol.jws import seal
from protocol.names import job_id
from protocol.tokens import ACCESS, Access, sign_access
from tests.hostile_miner import (
    MINER,
    REQUEST_KEY,
    RUN,
    STRANGER,
    VALIDATOR,
    HostileMiner,
    Server,
    loopback,
    running,
    signed,
)
from weather import faults

KERCHUNK = "weather-kerchunk-request"
DEEP = json.loads("[" * 9 + "]" * 9)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running() as served:
        yield served


@pytest.fixture
def miner(server: Server) -> HostileMiner:
    server.app = hostile = HostileMiner()
    return hostile


@pytest.fixture
def client() -> MinerClient:
    return MinerClient(REQUEST_KEY, VALIDATOR.hotkey, loopback(), Clock())


async def test_a_good_token_is_taken_from_a_completed_answer(
    server: Server, miner: HostileMiner, client: MinerClient
) -> None:
    assert (await client.access_token(server.entry(), miner.call.job_id)).count(".") == 2


Members = Callable[[HostileMiner], dict[str, Any]]


def token(key=MINER, sub=VALIDATOR.hotkey, job: str | None = None, life=timedelta(minutes=30)) -> Members:
    def members(miner: HostileMiner) -> dict[str, Any]:
        access = Access(MINER.hotkey, sub, job or miner.call.job_id)
        return {"access_token": sign_access(key, access, "one", (Clock().now(), life))}

    return members


def headed(**header: str) -> Members:
    """A token under another header, its signature as good as can be."""

    def members(miner: HostileMiner) -> dict[str, Any]:
        good = token()(miner)["access_token"].split(".")
        payload = base64.urlsafe_b64decode(good[1] + "=" * (-len(good[1]) % 4))
        other = seal(MINER, ACCESS, payload).split(".")
        changed_header = {"alg": "EdDSA", "typ": ACCESS, "kid": MINER.hotkey} | header
        other[0] = base64.urlsafe_b64encode(J(changed_header)).rstrip(b"=").decode()
        return {"access_token": ".".join(other)}

    return members


def url(pattern: str) -> Members:
    return lambda miner: {"zarr_store_url": pattern.format(base=miner.base_url, job=miner.call.job_id)}


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        (url("http://127.0.0.2/zarr/{job}/"), faults.UrlRefused),
        (url("https://127.0.0.1/zarr/{job}/"), faults.UrlRefused),
        (url("{base}0/zarr/{job}/"), faults.UrlRefused),
        (url("{base}/zarr/other/"), faults.UrlRefused),
        (headed(alg="none"), faults.TokenInvalid),
        (headed(alg="HS256"), faults.TokenInvalid),
        (token(key=STRANGER), faults.TokenInvalid),
        (token(sub=STRANGER.hotkey), faults.TokenInvalid),
        (token(job=job_id("test", RUN, STRANGER.hotkey)), faults.TokenInvalid),
        (token(life=timedelta(hours=24)), faults.TokenInvalid),
        (token(life=timedelta(minutes=1)), faults.TokenInvalid),
        (lambda miner: {"access_token": None}, faults.BadAnswer),
        (lambda miner: {"commitment": {"deep": DEEP}}, faults.BadAnswer),
    ],
)
async def test_a_store_url_or_token_that_does_not_hold_is_refused(
    members: Members, expected: type[faults.Fault], server: Server, miner: HostileMiner, client: MinerClient
) -> None:
    miner.overrides[KERCHUNK] = lambda request, honest: signed(request, miner.kerchunk_answer(**members(miner)))
    with pytest.raises(expected) as raised:
        await client.access_token(server.entry(), miner.call.job_id)
    assert type(raised.value) is expected


@pytest.mark.parametrize(
    "answer",
    [
        {"status": "error", "error": {"code": "storage_failed", "detail": "disk"}},
        {"status": "not_found"},
        {"status": "processing", "stage": "writing", "retry_after_seconds": 30}
        | {"estimated_ready_at": None, "input_data_hash": None},
    ],
    ids=lambda answer: answer["status"],
)
async def test_no_token_for_a_stored_commitment_is_an_error_that_the_miner_reports(
    answer: dict[str, Any], server: Server, miner: HostileMiner, client: MinerClient
) -> None:
    whole = answer | {"job_id": miner.call.job_id}
    miner.overrides[KERCHUNK] = lambda request, honest: signed(request, whole)
    with pytest.raises(faults.MinerReportedError):
        await client.access_token(server.entry(), miner.call.job_id)
