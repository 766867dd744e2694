"""Calls 2, 4 and 5: the validator asks a miner, proves who asks, and believes only signed answers."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TypeVar
from uuid import uuid4

import httpx
from opentelemetry import propagate

from adapters.clock import Clock
from adapters.egress import RETRIED_STATUSES, Egress, Endpoint, retry_after
from protocol import names
from protocol.identity import PrivateKey
from protocol.messages import (
    KERCHUNK_MAX_BYTES,
    ForecastAnswer,
    ForecastRequest,
    ForecastRequestData,
    KerchunkAnswer,
    KerchunkCompleted,
    KerchunkData,
    KerchunkError,
    KerchunkRequest,
    ReceiptDelivery,
    ReceiptStored,
    Request,
    parse_kerchunk_answer,
)
from protocol.problems import problem_code
from protocol.receipt import CommitmentAnswer
from protocol.registry import RosterEntry
from protocol.tokens import Access, Answer, Call, sign_request, verify_access, verify_answer
from weather.faults import BadAnswer, MinerReportedError, MinerUnreachable, UrlRefused

Read = TypeVar("Read", ForecastAnswer, KerchunkAnswer, ReceiptStored)


FORECAST_REQUEST = Endpoint("weather-forecast-request", ForecastAnswer.max_bytes, 30.0)
KERCHUNK_REQUEST = Endpoint("weather-kerchunk-request", KERCHUNK_MAX_BYTES, 30.0)
LONGEST_WAIT = timedelta(minutes=10)
RECEIPT = Endpoint("weather-receipt", ReceiptStored.max_bytes, 10.0)


class MinerClient:
    """Speaks for the validator `hotkey` with `signer`: the hotkey's own key, or one of its request keys."""

    def __init__(self, signer: PrivateKey, hotkey: str, egress: Egress, clock: Clock) -> None:
        self.hotkey = hotkey
        self.egress = egress
        self._signer = signer
        self._clock = clock

    async def request_forecast(self, miner: RosterEntry, data: ForecastRequestData) -> ForecastAnswer:
        """Call 2; the job id in the data is the miner's."""
        call = ForecastRequest(nonce=_nonce(), data=data.addressed_to(miner.hotkey))
        body, _ = await self._post(miner, FORECAST_REQUEST, call)
        return _read(ForecastAnswer.parse, body, call.data.job_id)

    async def poll_commitment(self, miner: RosterEntry, job_id: str) -> tuple[KerchunkAnswer, datetime]:
        """Call 4, with the instant at which its answer was complete."""
        call = KerchunkRequest(nonce=_nonce(), data=KerchunkData(job_id=job_id))
        body, received_at = await self._post(miner, KERCHUNK_REQUEST, call)
        return _read(parse_kerchunk_answer, body, job_id), received_at

    async def deliver_receipt(self, miner: RosterEntry, delivery: CommitmentAnswer) -> ReceiptStored:
        """Call 5."""
        entry = delivery.receipt.entry
        job_id = names.job_id(entry.network, entry.run_id, entry.hotkey)
        body, _ = await self._post(miner, RECEIPT, ReceiptDelivery(nonce=_nonce(), data=delivery))
        return _read(ReceiptStored.parse, body, job_id)

    async def access_token(self, miner: RosterEntry, job_id: str) -> str:
        """A checked token for the miner's store; root and commitment in the answer are not used."""
        answer, _ = await self.poll_commitment(miner, job_id)
        return self.checked_token(miner, answer)

    def checked_token(self, miner: RosterEntry, answer: KerchunkAnswer) -> str:
        """Step 1 of the verified download, on an answer of call 4."""
        if isinstance(answer, KerchunkError):
            raise MinerReportedError(answer.error.detail, found=answer.error.code)
        if not isinstance(answer, KerchunkCompleted):
            raise MinerReportedError("no store for a stored commitment", found=answer.status, expected="completed")
        derived = store_url(miner, answer.job_id)
        if answer.zarr_store_url != derived:
            raise UrlRefused("store URL", found=answer.zarr_store_url, expected=derived)
        access = Access(miner=miner.hotkey, validator=self.hotkey, job_id=answer.job_id)
        verify_access(answer.access_token, access, self._clock.now())
        return answer.access_token

    async def _post(self, miner: RosterEntry, endpoint: Endpoint, request: Request) -> tuple[bytes, datetime]:
        """The body of a signed 2xx, and when its last byte was read."""
        headers = self._headers(miner, endpoint, request.body)
        response, answer = await self.egress.exchange(
            miner.base_url, endpoint, miner.tls_sha256, content=request.body, headers=headers
        )
        received_at = self._clock.now()
        self._judge(miner, request.nonce, response, answer)
        return answer, received_at

    def _headers(self, miner: RosterEntry, endpoint: Endpoint, body: bytes) -> dict[str, str]:
        path = httpx.URL(f"{miner.base_url}/{endpoint.path}").path
        token = sign_request(
            self._signer, Call(miner.hotkey, "POST", path, body), self._clock.now(), issuer=self.hotkey
        )
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        propagate.inject(headers)
        return headers

    def _judge(self, miner: RosterEntry, nonce: str, response: httpx.Response, body: bytes) -> None:
        """Let a signed 2xx pass; an unsigned non-2xx is the word of nobody."""
        status = response.status_code
        token = response.headers.get("barograph-answer")
        if response.is_success:
            self._verify(miner, token, Answer(self.hotkey, nonce, status, body))
            return
        if status in RETRIED_STATUSES or token is None:
            raise MinerUnreachable("status", found=status, retry_after=retry_after(response, LONGEST_WAIT))
        self._verify(miner, token, Answer(self.hotkey, nonce, status, body))
        raise MinerReportedError("final problem", found=problem_code(body) or f"status {status}")

    def _verify(self, miner: RosterEntry, token: str | None, answer: Answer) -> None:
        if token is None:
            raise BadAnswer("answer without a token", found=f"status {answer.status}")
        verify_answer(token, answer, miner.hotkey, self._clock.now())


def store_url(miner: RosterEntry, job_id: str) -> str:
    """The only URL at which the forecast store of a job may be."""
    return f"{miner.base_url}/zarr/{job_id}/"


def _read(parse: Callable[[bytes], Read], body: bytes, job_id: str) -> Read:
    try:
        answer = parse(body)
    except ValueError as error:
        raise BadAnswer("answer is not what the protocol says", found=error) from error
    if answer.job_id != job_id:
        raise BadAnswer("answer about another job", found=answer.job_id, expected=job_id)
    return answer


def _nonce() -> str:
    return str(uuid4())
