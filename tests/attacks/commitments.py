"""Attacks on the calls, the commitment and its binding (gallery rows 1 to 3, 13, 14, 28)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from datetime import timedelta
from typing import Any
from uuid import uuid4

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse

from adapters.clock import Clock
from protocol.identity import PrivateKey
from tests.attacks.honest import Miner

STRANGER = PrivateKey.from_bytes(bytes([9]) * 32)


class CommitsLate(Miner):
    code = "CommitmentLate"

    async def polled(self, request: Request, nonce: str) -> Response:
        if Clock().now() <= self.opened.commit_deadline:
            waiting = {"stage": "inference", "estimated_ready_at": None, "input_data_hash": None}
            late = {"status": "processing", "job_id": self.opened.job_id, "retry_after_seconds": 30, **waiting}
            asyncio.get_running_loop().create_task(self.push_after_the_deadline())
            return self.signed(nonce, late)
        return await super().polled(request, nonce)

    async def push_after_the_deadline(self) -> None:
        await self.world.sleep_past(self.opened.commit_deadline + timedelta(milliseconds=500))
        await self.world.push(self)


class WorksForEver(Miner):
    code = "NoCommitment"

    async def polled(self, request: Request, nonce: str) -> Response:
        working = {"stage": "inference", "estimated_ready_at": None, "input_data_hash": None}
        return self.signed(
            nonce, {"status": "processing", "job_id": self.opened.job_id, "retry_after_seconds": 30, **working}
        )


class ReportsAnError(Miner):
    code = "MinerReportedError"
    error = "inference_failed"

    async def polled(self, request: Request, nonce: str) -> Response:
        error = {"code": self.error, "detail": "no luck"}
        return self.signed(nonce, {"status": "error", "job_id": self.opened.job_id, "error": error})


class DeclinesTheHindcast(ReportsAnError):
    code = "HindcastDeclined"
    error = "declined"


class IsAlwaysBusy(Miner):
    code = "MinerUnreachable"

    async def requested(self, request: Request, nonce: str) -> Response:
        return Response(status_code=503)


class NeverAnswers(Miner):
    code = "MinerTimeout"

    async def requested(self, request: Request, nonce: str) -> Response:
        await asyncio.sleep(30)
        return Response(status_code=204)


class RedirectsTheCall(Miner):
    code = "Redirected"

    async def requested(self, request: Request, nonce: str) -> Response:
        return RedirectResponse(self.world.trap_url)


class AnswersUnsigned(Miner):
    code = "BadAnswer"

    async def requested(self, request: Request, nonce: str) -> Response:
        return Response(json.dumps(self.received()), media_type="application/json")


class AnswersWithAnotherKey(AnswersUnsigned):
    async def requested(self, request: Request, nonce: str) -> Response:
        return self.signed(nonce, self.received(), key=STRANGER)


class AnswersAnotherRequest(AnswersUnsigned):
    async def requested(self, request: Request, nonce: str) -> Response:
        return self.signed(str(uuid4()), self.received())


class ChangesTheSignedBody(AnswersUnsigned):
    async def requested(self, request: Request, nonce: str) -> Response:
        response = self.signed(nonce, self.received())
        response.body = bytes(response.body).replace(b"received", b"deceived")
        return response


class RepeatsAMember(AnswersUnsigned):
    async def requested(self, request: Request, nonce: str) -> Response:
        body = json.dumps(self.received()).replace('"status"', '"status": "error", "status"').encode()
        return self.signed(nonce, body)


class NestsDeeply(AnswersUnsigned):
    async def requested(self, request: Request, nonce: str) -> Response:
        return self.signed(nonce, b"[" * 5_000 + b"]" * 5_000)


class AnswersWithoutEnd(AnswersUnsigned):
    async def requested(self, request: Request, nonce: str) -> Response:
        async def zeros() -> AsyncGenerator[bytes]:
            for _ in range(16_384):
                yield bytes(65_536)

        return StreamingResponse(zeros(), headers={"Barograph-Answer": "x"})


class SendsTooManyHeaders(AnswersUnsigned):
    async def requested(self, request: Request, nonce: str) -> Response:
        response = self.signed(nonce, self.received())
        response.raw_headers.extend((f"x-{number}".encode(), b"y") for number in range(2_000))
        return response


class SpoilsItsCommitment(Miner):
    code = "CommitmentBindingMismatch"
    member, value = "run_id", "campaign/attacks/forecast/2026-10-02T00Z"

    def commitment_value(self) -> dict[str, Any]:
        return super().commitment_value() | {self.member: self.value}

    def signature(self, value: dict[str, Any]) -> str:
        from protocol.canonical import J, sign

        return sign(self.key, "commitment", J(value))


class CommitsForAnotherNetwork(SpoilsItsCommitment):
    member, value = "network", "other"


class CommitsForAnotherGrid(SpoilsItsCommitment):
    member, value = "grid", "0p25"


class CommitsForAnotherSpec(SpoilsItsCommitment):
    member, value = "score_spec_digest", "2" * 64


class CommitsForAnotherLayout(SpoilsItsCommitment):
    member, value = "layout_digest", "2" * 64


class NamesOtherInputs(SpoilsItsCommitment):
    code = "InputDigestMismatch"
    member, value = "input_data_hash", "2" * 64


class ChoosesItsHash(SpoilsItsCommitment):
    code = "CommitmentMalformed"
    member, value = "hash", "xxh64"


class CountsOneShort(SpoilsItsCommitment):
    code = "CommitmentMalformed"
    member = "object_count"

    def commitment_value(self) -> dict[str, Any]:
        value = Miner.commitment_value(self)
        return value | {"object_count": value["object_count"] - 1}


class ForgesTheTotal(SpoilsItsCommitment):
    code = "ManifestMismatch"

    def commitment_value(self) -> dict[str, Any]:
        value = Miner.commitment_value(self)
        return value | {"total_bytes": value["total_bytes"] + 1}


class SendsTheCommitmentOfAnother(Miner):
    code = "CommitmentBindingMismatch"

    def commitment_value(self) -> dict[str, Any]:
        return self.others["honest-1"].commitment_value()

    def signature(self, value: dict[str, Any]) -> str:
        return self.others["honest-1"].signature(value)


class KeepsTheOldSignature(Miner):
    code = "CommitmentSignatureInvalid"

    def signature(self, value: dict[str, Any]) -> str:
        other = self.others["honest-1"]
        return other.signature(other.commitment_value())


ATTACKS = (
    CommitsLate,
    WorksForEver,
    ReportsAnError,
    DeclinesTheHindcast,
    IsAlwaysBusy,
    NeverAnswers,
    RedirectsTheCall,
    AnswersUnsigned,
    AnswersWithAnotherKey,
    AnswersAnotherRequest,
    ChangesTheSignedBody,
    RepeatsAMember,
    NestsDeeply,
    AnswersWithoutEnd,
    SendsTooManyHeaders,
    SpoilsItsCommitment,
    CommitsForAnotherNetwork,
    CommitsForAnotherGrid,
    CommitsForAnotherSpec,
    CommitsForAnotherLayout,
    NamesOtherInputs,
    ChoosesItsHash,
    CountsOneShort,
    ForgesTheTotal,
    SendsTheCommitmentOfAnother,
    KeepsTheOldSignature,
)
