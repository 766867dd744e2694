"""Call 8: the transparency log, open to anyone."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from adapters.clock import Clock
from adapters.http_service import problem_of
from adapters.ledger import log
from adapters.ledger.commitments import sealed_commitments
from adapters.ledger.engine import Ledger
from adapters.ledger.runs import get_run
from protocol.document import MAX_INTEGER, Document
from protocol.identity import PrivateKey
from protocol.log import ConsistencyProof, InclusionProof, LogEntries, SealedCommitments, SignedHead
from protocol.names import parse_run_id
from protocol.problems import Refusal
from weather.faults import PlatformFault


class PublishedLog:
    """The log in the ledger; blocking, reads only."""

    def __init__(self, ledger: Ledger, key: PrivateKey, network: str, clock: Clock) -> None:
        self._ledger, self._key, self._network, self._clock = ledger, key, network, clock

    def head(self, _: Request) -> SignedHead:
        """The head of the log as it is now."""
        with self._ledger.read() as session:
            return log.signed_head(session, self._key, self._network, self._clock.now())

    def entries(self, request: Request) -> LogEntries:
        """Entries `start` to `end`, both included."""
        start, end = _number(request, "start"), _number(request, "end")
        with self._ledger.read() as session:
            found = log.entries(session, start, end)
        return LogEntries.of_value({"start": start, "entries": found})

    def inclusion(self, request: Request) -> InclusionProof:
        """That a leaf is in the tree of a size."""
        leaf_index, tree_size = _number(request, "leaf_index"), _number(request, "tree_size")
        proof = self._proof(log.inclusion_proof, leaf_index, tree_size)
        return InclusionProof(leaf_index=leaf_index, tree_size=tree_size, inclusion_proof=proof)

    def consistency(self, request: Request) -> ConsistencyProof:
        """That one size of the log is a prefix of another."""
        first, second = _number(request, "first"), _number(request, "second")
        proof = self._proof(log.consistency_proof, first, second)
        return ConsistencyProof(first=first, second=second, consistency_proof=proof)

    def commitments(self, request: Request) -> SealedCommitments:
        """All commitments of a run with their receipts, once it is sealed."""
        run_id = _run_id(request)
        with self._ledger.read() as session:
            if get_run(session, run_id) is None:
                raise Refusal("UnknownJob", "no such run was opened here", found=run_id)
            if log.entry_of(session, run_id, "run_sealed") is None:
                raise Refusal("Forbidden", "the run is not sealed", found=run_id)
            return sealed_commitments(session, run_id)

    def _proof(self, prove: Callable[[Session, int, int], list[str]], one: int, other: int) -> tuple[str, ...]:
        with self._ledger.read() as session:
            try:
                return tuple(prove(session, one, other))
            except ValueError as error:
                raise Refusal("Malformed", str(error)) from error


def log_routes(base_path: str, published: PublishedLog) -> list[Route]:
    """The routes of the log below the base path."""
    answers = (published.head, published.entries, published.inclusion, published.consistency, published.commitments)
    return [Route(f"{base_path}/log/{answer.__name__}", _endpoint(answer)) for answer in answers]


def _endpoint(answer: Callable[[Request], Document]) -> Callable[[Request], object]:
    async def endpoint(request: Request) -> Response:
        try:
            document = await run_in_threadpool(answer, request)
        except (Refusal, PlatformFault) as refusal:
            return problem_of(request, refusal)
        return Response(document.body, media_type="application/json")

    return endpoint


def _run_id(request: Request) -> str:
    text = request.query_params.get("run_id", "")
    try:
        parse_run_id(text)
    except ValueError as error:
        raise Refusal("Malformed", "run_id is no run id", found=repr(text[:100])) from error
    return text


def _number(request: Request, name: str) -> int:
    text = request.query_params.get(name, "")
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(MAX_INTEGER))):
        raise Refusal("Malformed", f"{name} is not a whole number", found=repr(text[:100]))
    return min(int(text), MAX_INTEGER)
