"""Call 8 as a miner or another validator makes it: the answers of a validator about its log."""

from __future__ import annotations

import asyncio
from typing import TypeVar

import httpx

from adapters.egress import Egress, check_head, has_content_coding
from protocol.document import Document
from protocol.log import ConsistencyProof, SealedCommitments
from protocol.problems import Problem
from weather.faults import BadAnswer, EgressDown, MinerUnreachable

TIMEOUT_SECONDS = 10.0

A = TypeVar("A", bound=Document)


class LogClient:
    """Reads logs of validators by their registered base URLs."""

    def __init__(self, egress: Egress) -> None:
        self._egress = egress

    async def consistency(self, base_url: str, first: int, second: int) -> ConsistencyProof:
        """The proof that one size of the log is a prefix of another; an empty one if it says that there is none.

        Raises:
            EgressDown: no answer, or not the log's.
            BadAnswer: not what the protocol says.
        """
        path = f"log/consistency?first={first}&second={second}"
        answer = await self._get(base_url, path, ConsistencyProof, ("Malformed",))
        return answer or ConsistencyProof(first=first, second=second, consistency_proof=())

    async def commitments(self, base_url: str, run_id: str) -> SealedCommitments:
        """The sealed commitments of a run; none if it says that the run is not sealed there, or not known.

        Raises:
            EgressDown: no answer, or not the log's.
            BadAnswer: not what the protocol says.
        """
        path = f"log/commitments?run_id={run_id}"
        answer = await self._get(base_url, path, SealedCommitments, ("Forbidden", "UnknownJob"))
        return answer or SealedCommitments(run_id=run_id, commitments=())

    async def _get(self, base_url: str, path: str, kind: type[A], nothing: tuple[str, ...]) -> A | None:
        """The answer; None if it is a problem that means nothing."""
        try:
            async with (
                asyncio.timeout(TIMEOUT_SECONDS),
                self._egress.client(base_url) as client,
                client.stream("GET", path) as response,
            ):
                check_head(response)
                body = await _read(response, kind.max_bytes)
        except (httpx.TransportError, TimeoutError, MinerUnreachable) as error:
            raise EgressDown(f"the log at {base_url} does not answer: {error or type(error).__name__}") from error
        if response.status_code == 200:
            return _parsed(kind, body)
        if _problem_code(body) in nothing:
            return None
        raise EgressDown(f"the log at {base_url} does not answer", found=f"status {response.status_code}")


def _parsed(kind: type[A], body: bytes) -> A:
    try:
        return kind.parse(body)
    except ValueError as error:
        raise BadAnswer(f"no {kind.__name__} in the answer: {error}") from error


def _problem_code(body: bytes) -> str | None:
    try:
        return Problem.parse(body).code
    except ValueError:
        return None


async def _read(response: httpx.Response, most_bytes: int) -> bytes:
    if has_content_coding(response):
        raise BadAnswer("content coding", found=response.headers["content-encoding"], expected="identity")
    body = bytearray()
    async for part in response.aiter_raw():
        body += part
        if len(body) > most_bytes:
            raise BadAnswer("answer above its limit", expected=f"{most_bytes} bytes")
    return bytes(body)
