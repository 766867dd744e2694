"""Miners that break a call fail exactly the checks that say so."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from miner.jobs import Job, OtherJob, job_of
from miner.service import MinerService
from protocol.commitment import Commitment
from protocol.document import Document
from protocol.identity import PrivateKey
from protocol.layout import load_layout
from protocol.messages import (
    CommitmentData,
    ForecastRequestData,
    KerchunkCompleted,
    KerchunkProcessing,
    KerchunkRequest,
    ReceiptDelivery,
    ReceiptStored,
)
from protocol.names import job_id
from protocol.problems import Refusal
from protocol.tokens import Call, RequestClaims, verify_request
from starter.conform.session import plan
from tests.activities.conform.conftest import Departure, Scene, failed

Change = Callable[[PrivateKey, KerchunkCompleted], dict[str, Any]]
HASTY = {"push_seconds": 0.5}
FALSE_RECEIPTS = {f"receipt.{name}" for name in ("other-commitment", "other-run", "bad-signature", "bad-proof")}
CALLS = ("request", "poll", "receipt")


class Forgetful(MinerService):
    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._gate = replace(self._gate, first_use=lambda jti, kept_until: True)


class ReadsLettersToOthers(MinerService):
    def _authenticate(self, request: Request, path: str, body: bytes) -> RequestClaims:
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        if token.count(".") != 2:
            return super()._authenticate(request, path, body)
        audience = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))["aud"]
        return verify_request(token, Call(audience, "POST", request.url.path, body), self._gate, self._now())


class Gullible(MinerService):
    """Joins a job under other rules, and believes every receipt."""

    def _receive(self, call: ForecastRequestData) -> tuple[Job, bool]:
        try:
            return super()._receive(call)
        except Refusal as refusal:
            known = self._premises.jobs.get(call.job_id)
            if known is None or refusal.code != "JobConflict":
                raise
            return known, False

    async def _receipt(self, claims: RequestClaims, request: ReceiptDelivery) -> tuple[int, Document]:
        run_id = request.data.receipt.entry.run_id
        return 200, ReceiptStored(job_id=job_id("test", run_id, self._me.key.hotkey))


class Careless(Forgetful, ReadsLettersToOthers, Gullible):
    pass


class TakesAnyLayout(MinerService):
    def _receive(self, call: ForecastRequestData) -> tuple[Job, bool]:
        try:
            return super()._receive(call)
        except Refusal as refusal:
            if "layout" not in refusal.detail:
                raise
        try:
            return self._premises.jobs.receive(job_of(call, self._me.key.hotkey, self._now()))
        except OtherJob as other:
            raise Refusal("JobConflict", str(other)) from other


class Slow(MinerService):
    def _now(self) -> datetime:
        return super()._now() - timedelta(minutes=10)


class Regressing(MinerService):
    stages: tuple[str, ...] = ("writing", "fetching")

    async def _kerchunk(self, claims: RequestClaims, request: KerchunkRequest) -> tuple[int, Document]:
        status, answer = await super()._kerchunk(claims, request)
        if not isinstance(answer, KerchunkCompleted | KerchunkProcessing):
            return status, answer
        stage, *others = self.stages
        self.stages = (*others, stage)
        return 200, KerchunkProcessing.of_value({**PROCESSING, "job_id": answer.job_id, "stage": stage})


PROCESSING = {"status": "processing", "estimated_ready_at": None, "input_data_hash": None, "retry_after_seconds": 30}


def answering(change: Change) -> type[MinerService]:
    """A miner that shows its finished forecast otherwise."""

    class Altered(MinerService):
        def _completed(self, job: Job, validator: str, offer: CommitmentData) -> KerchunkCompleted:
            answer = super()._completed(job, validator, offer)
            return answer.model_copy(update=change(self._me.key, answer))

    return Altered


def recommitted(key: PrivateKey, answer: KerchunkCompleted, **changes: str) -> dict[str, Any]:
    commitment = Commitment.parse(answer.commitment).model_copy(update=changes)
    return {"commitment": commitment.value, "signature": commitment.sign(key)}


def unsigned(app: ASGIApp) -> ASGIApp:
    def change(message: Message) -> None:
        message["headers"] = [one for one in message["headers"] if one[0] != b"barograph-answer"]

    return heads(app, change)


def prose(app: ASGIApp) -> ASGIApp:
    def change(message: Message) -> None:
        if message["status"] >= 400:
            message["headers"] = [one for one in message["headers"] if one[0] != b"content-type"]

    return heads(app, change)


def heads(app: ASGIApp, change: Callable[[Message], None]) -> ASGIApp:
    """The app with other heads of its answers."""

    async def changed(scope: Scope, receive: Receive, send: Send) -> None:
        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                change(message)
            await send(message)

        await app(scope, receive, sent)

    return changed


BROKEN = {
    "answers without a token": (Departure(mask=unsigned), {"request.signed-answer"}),
    "keeps no jti, reads letters to others, believes all receipts": (
        Departure(Careless),
        {f"{call}.{name}" for call in CALLS for name in ("replayed-jti", "wrong-audience-403")}
        | FALSE_RECEIPTS
        | {"request.conflict-409"},
    ),
    "takes any layout": (
        Departure(TakesAnyLayout),
        {f"request.unsupported-{what}" for what in ("layout", "grid", "steps")},
    ),
    "clock ten minutes slow": (Departure(Slow), {"health.clock", "request.signed-answer"}),
    "goes back from writing to fetching": (Departure(Regressing), {"poll.stages"}),
    "shows another salt at each poll": (
        Departure(answering(lambda key, answer: recommitted(key, answer, salt=secrets.token_hex(32)))),
        {"poll.same-commitment", "push.same-as-shown"},
    ),
    "commits to other rules": (
        Departure(answering(lambda key, answer: recommitted(key, answer, score_spec_digest="1" * 64))),
        {"commitment.binding"},
    ),
    "signs with another key, and moves its store": (
        Departure(
            answering(
                lambda key, answer: {
                    **recommitted(PrivateKey.generate(), answer),
                    "zarr_store_url": answer.zarr_store_url.replace("/calm/", "/storm/"),
                }
            )
        ),
        {"commitment.signature", "poll.store-url"},
    ),
    "pushes elsewhere": (Departure(validator={"base_url": "http://127.0.0.1:9"}, options=HASTY), {"push.arrives"}),
    "gives up after one push": (Departure(pushes=1, options=HASTY), {"push.accepted"}),
    "pushes on after its receipt": (Departure(insists=True), {"push.rests"}),
    "does not know the request key": (Departure(validator={"request_keys": []}), {"request.by-request-key"}),
}


@pytest.mark.parametrize(("departure", "expected"), BROKEN.values(), ids=BROKEN)
async def test_broken_call_fails_its_checks_and_no_others(
    scene: Scene, departure: Departure, expected: set[str]
) -> None:
    report = await scene.examine(departure)
    assert failed(report) == expected, [one for one in report.checks if one.result == "fail"]
    assert "eyJ" not in report.model_dump_json(), "a token is shown"


async def test_refusals_in_prose_fail_every_check_of_a_refusal(scene: Scene) -> None:
    report = await scene.examine(Departure(mask=prose))
    layout = load_layout("tiny", scene.grids)
    expected = {check.name for check in plan(layout, push=True) if check.says.startswith("4")}
    assert {one.check for one in report.checks if one.result == "fail"} == expected | {"request.conflict-409"}
