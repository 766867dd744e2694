"""What a validator answers: to anyone about its log (call 8), to a miner that pushes."""

from __future__ import annotations

from typing import Any, TypeVar

import httpx

from adapters.egress import Egress, Endpoint
from protocol.document import Document
from protocol.log import ConsistencyProof, SealedCommitments
from protocol.problems import problem_code
from weather.faults import BadAnswer, CertificateRefused, EgressDown, MinerTimeout, MinerUnreachable

TIMEOUT_SECONDS = 10.0

A = TypeVar("A", bound=Document)


async def consistency(egress: Egress, base_url: str, first: int, second: int) -> ConsistencyProof:
    """The proof that one size of the log is a prefix of another; an empty one if it says that there is none.

    Raises:
        EgressDown: no answer, or not the log's.
        BadAnswer: not what the protocol says.
    """
    path = f"log/consistency?first={first}&second={second}"
    answer = await _get(egress, base_url, path, ConsistencyProof, ("Malformed",))
    return answer or ConsistencyProof(first=first, second=second, consistency_proof=())


async def commitments(egress: Egress, base_url: str, run_id: str) -> SealedCommitments:
    """The sealed commitments of a run; none if it says that the run is not sealed there, or not known.

    Raises:
        EgressDown: no answer, or not the log's.
        BadAnswer: not what the protocol says.
    """
    path = f"log/commitments?run_id={run_id}"
    answer = await _get(egress, base_url, path, SealedCommitments, ("Forbidden", "UnknownJob"))
    return answer or SealedCommitments(run_id=run_id, commitments=())


async def exchange(
    egress: Egress, base_url: str, path: str, most_bytes: int, **posted: Any
) -> tuple[httpx.Response, bytes]:
    """Any answer of a validator, with its body; a POST of what is `posted`, if that is anything.

    Raises:
        EgressDown: no answer in time.
        BadAnswer: not HTTP, or over the limits.
    """
    try:
        return await egress.exchange(base_url, Endpoint(path, most_bytes, TIMEOUT_SECONDS), **posted)
    except (MinerUnreachable, MinerTimeout, CertificateRefused) as error:
        raise EgressDown(f"the validator at {base_url} does not answer: {error}") from error


async def _get(egress: Egress, base_url: str, path: str, kind: type[A], nothing: tuple[str, ...]) -> A | None:
    """The answer; None if it is a problem that means nothing."""
    response, body = await exchange(egress, base_url, path, kind.max_bytes)
    if response.status_code == 200:
        try:
            return kind.parse(body)
        except ValueError as error:
            raise BadAnswer(f"no {kind.__name__} in the answer: {error}") from error
    if problem_code(body) in nothing:
        return None
    raise EgressDown(f"the log at {base_url} does not answer", found=f"status {response.status_code}")
