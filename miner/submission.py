"""Call 3: the miner sends its commitment to a validator and keeps the receipt."""

from __future__ import annotations

from urllib.parse import urlsplit
from uuid import uuid4

from adapters.egress import RETRIED_STATUSES
from adapters.log_client import exchange
from miner.premises import HostedMiner, Premises
from protocol.commitment import first_broken
from protocol.messages import CommitmentData, CommitmentRequest
from protocol.problems import Problem
from protocol.receipt import CommitmentAnswer
from protocol.tokens import Answer, Call, sign_request, verify_answer
from weather.faults import BadAnswer, EgressDown, PolicyRefusal

PATH = "weather-commitment"
REPEATED = RETRIED_STATUSES | {401}


async def submit(offer: CommitmentData, validator: str, me: HostedMiner, premises: Premises) -> CommitmentAnswer:
    """Send the commitment.

    Raises:
        EgressDown: no answer, or one that asks to try again.
        BadAnswer: an answer that is not the validator's, or a receipt that does not hold.
        PolicyRefusal: the validator refuses for good.
    """
    request = CommitmentRequest(nonce=str(uuid4()), data=offer)
    base_url = premises.registry.validator(validator).base_url
    call = Call(audience=validator, method="POST", path=f"{urlsplit(base_url).path}/{PATH}", body=request.body)
    token = sign_request(me.key, call, premises.clock.now())
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    limit = CommitmentAnswer.max_bytes
    response, body = await exchange(premises.egress, base_url, PATH, limit, content=request.body, headers=headers)
    status, token = response.status_code, response.headers.get("Barograph-Answer")
    if status in REPEATED or not token:
        raise EgressDown("validator has not taken the commitment", found=f"status {status}")
    verify_answer(token, Answer(me.key.hotkey, request.nonce, status, body), validator, premises.clock.now())
    answer = _receipt(status, body)
    if broken := first_broken(offer, answer, me.key.hotkey, validator):
        raise BadAnswer(f"{broken} does not hold", found=answer.receipt.entry.commitment_digest)
    return answer


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
