"""Call 3: the miner sends its commitment to a validator and keeps the receipt."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit
from uuid import uuid4

import httpx

from adapters.egress import RETRIED_STATUSES, check_head
from miner.premises import HostedMiner, Premises
from protocol.commitment import first_broken
from protocol.messages import CommitmentData, CommitmentRequest
from protocol.problems import Problem
from protocol.receipt import CommitmentAnswer
from protocol.tokens import Answer, Call, sign_request, verify_answer
from weather.faults import BadAnswer, EgressDown, PolicyRefusal

PATH = "/weather-commitment"
TIMEOUT_SECONDS = 10
REPEATED = RETRIED_STATUSES | {401}


async def submit(offer: CommitmentData, validator: str, me: HostedMiner, premises: Premises) -> CommitmentAnswer:
    """Send the commitment.

    Raises:
        EgressDown: no answer, or one that asks to try again.
        BadAnswer: an answer that is not the validator's, or a receipt that does not hold.
        PolicyRefusal: the validator refuses for good.
    """
    request = CommitmentRequest(nonce=str(uuid4()), data=offer)
    status, token, body = await _post(request.body, validator, me, premises)
    if status in REPEATED or not token:
        raise EgressDown("validator has not taken the commitment", found=f"status {status}")
    verify_answer(token, Answer(me.key.hotkey, request.nonce, status, body), validator, premises.clock.now())
    answer = _receipt(status, body)
    if broken := first_broken(offer, answer, me.key.hotkey, validator):
        raise BadAnswer(f"{broken} does not hold", found=answer.receipt.entry.commitment_digest)
    return answer


async def _post(body: bytes, validator: str, me: HostedMiner, premises: Premises) -> tuple[int, str, bytes]:
    base_url = premises.registry.validator(validator).base_url
    call = Call(audience=validator, method="POST", path=urlsplit(base_url).path + PATH, body=body)
    token = sign_request(me.key, call, premises.clock.now())
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    try:
        async with (
            asyncio.timeout(TIMEOUT_SECONDS),
            premises.egress.client(base_url) as client,
            client.stream("POST", PATH.lstrip("/"), content=body, headers=headers) as response,
        ):
            check_head(response)
            return response.status_code, response.headers.get("Barograph-Answer", ""), await _read(response)
    except (httpx.TransportError, TimeoutError) as error:
        raise EgressDown(f"validator {validator[:8]} did not answer: {error or type(error).__name__}") from error


async def _read(response: httpx.Response) -> bytes:
    body = bytearray()
    async for part in response.aiter_raw():
        body += part
        if len(body) > CommitmentAnswer.max_bytes:
            raise BadAnswer("answer above its limit", expected=f"{CommitmentAnswer.max_bytes} bytes")
    return bytes(body)


def _receipt(status: int, body: bytes) -> CommitmentAnswer:
    try:
        if status in (200, 201):
            return CommitmentAnswer.parse(body)
        problem = Problem.parse(body)
    except ValueError as error:
        raise BadAnswer(f"answer with status {status}: {error}") from error
    if problem.answer is None:
        raise PolicyRefusal(f"validator refuses: {problem.code}: {problem.detail}")
    return problem.answer
