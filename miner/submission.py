"""Call 3: the miner sends its commitment to a validator and keeps the receipt."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Exchange:
    """One signed request to a validator and what came back."""

    nonce: str
    status: int
    body: bytes
    token: str


async def submit(offer: CommitmentData, validator: str, me: HostedMiner, premises: Premises) -> CommitmentAnswer:
    """Send the commitment.

    Raises:
        EgressDown: no answer, or one that asks for another try.
        BadAnswer: an answer that is not the validator's, or a receipt that does not hold.
        PolicyRefusal: the validator refuses for good.
    """
    exchange = await _post(offer, validator, me, premises)
    signed = Answer(me.key.hotkey, exchange.nonce, exchange.status, exchange.body)
    if exchange.status in REPEATED or not exchange.token:
        raise EgressDown("validator has not taken the commitment", found=f"status {exchange.status}")
    verify_answer(exchange.token, signed, validator, premises.clock.now())
    answer = _receipt(exchange)
    if broken := first_broken(offer, answer, me.key.hotkey, validator):
        raise BadAnswer(f"{broken} does not hold", found=answer.receipt.entry.commitment_digest)
    return answer


async def _post(offer: CommitmentData, validator: str, me: HostedMiner, premises: Premises) -> Exchange:
    base_url = premises.registry.validator(validator).base_url
    nonce = str(uuid4())
    body = CommitmentRequest(nonce=nonce, data=offer).body
    call = Call(audience=validator, method="POST", path=urlsplit(base_url).path + PATH, body=body)
    token = sign_request(me.key, call, premises.clock.now())
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS), premises.egress.client(base_url) as client:
            request = client.build_request("POST", PATH.lstrip("/"), content=body, headers=headers)
            response = await client.send(request, stream=True)
            check_head(response)
            received = bytearray()
            async for chunk in response.aiter_raw():
                received += chunk
                if len(received) > CommitmentAnswer.max_bytes:
                    raise BadAnswer("answer above its limit", expected=CommitmentAnswer.max_bytes)
            await response.aclose()
    except (httpx.TransportError, TimeoutError) as error:
        raise EgressDown(f"validator {validator[:8]} did not answer: {error or type(error).__name__}") from error
    return Exchange(nonce, response.status_code, bytes(received), response.headers.get("Barograph-Answer", ""))


def _receipt(exchange: Exchange) -> CommitmentAnswer:
    try:
        if exchange.status in (200, 201):
            return CommitmentAnswer.parse(exchange.body)
        problem = Problem.parse(exchange.body)
    except ValueError as error:
        raise BadAnswer(f"answer with status {exchange.status}: {error}") from error
    if problem.answer is None:
        raise PolicyRefusal(f"validator refuses: {problem.code}: {problem.detail}")
    return problem.answer
