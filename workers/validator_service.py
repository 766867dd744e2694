"""The validator's HTTP side: health, and call 3, by which miners push their commitments."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from adapters.clock import Clock
from adapters.http_service import SeenTokens, bearer, hang_up, health, problem_of, read_body, signed
from adapters.ledger.values import ReceivedCommitment, RecordedCommitment
from protocol.commitment import accept
from protocol.identity import PrivateKey
from protocol.layout import Layout
from protocol.messages import CommitmentRequest, ForecastRequestData
from protocol.problems import COMMITMENT_PROBLEMS, Refusal
from protocol.tokens import Call, Gate, RequestClaims, verify_request
from weather.faults import CommitmentLate, MinerFault, PlatformFault


@dataclass(frozen=True)
class OpenCall:
    """What the HTTP side must know of a run: its call, its roster, and the deadline in force."""

    data: ForecastRequestData
    layout: Layout
    hotkeys: frozenset[str]
    deadline: datetime
    sealed: bool = False


class Commitments(Protocol):
    """The ledger, as the HTTP side uses it; methods block and may raise any `PlatformFault`."""

    def call_of(self, run_id: str) -> OpenCall | None:
        """The call of a run, or nothing if there is no such run."""

    def record(self, received: ReceivedCommitment) -> RecordedCommitment:
        """Store, log and receipt in one transaction; the first commitment stands; `CommitmentLate` after the seal."""
        ...

    def probe(self) -> None:
        """Write and read database and object store."""


OnCommitment = Callable[[RecordedCommitment, bool], Awaitable[None]]


@dataclass(frozen=True)
class ServiceConfig:
    """Who answers, under which path, how many POSTs a minute (`None` is no limit), and what health says of weights."""

    key: PrivateKey
    network: str
    base_path: str = ""
    posts_per_hotkey: int | None = 10
    posts_per_address: int | None = 120
    degraded: Callable[[], bool] = bool
    stale_since: Callable[[], datetime | None] = lambda: None


@dataclass(frozen=True)
class Push:
    """A body whose sender is proved."""

    body: bytes
    received_at: datetime
    claims: RequestClaims
    call: OpenCall


class RateLimit:
    """So many a minute of the clock for each name."""

    def __init__(self, per_minute: int | None) -> None:
        self._per_minute = per_minute
        self._minute: datetime | None = None
        self._seen: Counter[str] = Counter()

    def require(self, who: str, now: datetime) -> None:
        """Count one, and refuse it above the limit."""
        minute = now.replace(second=0, microsecond=0)
        if minute != self._minute:
            self._minute, self._seen = minute, Counter()
        self._seen[who] += 1
        if self._per_minute is not None and self._seen[who] > self._per_minute:
            raise Refusal("RateLimited", f"more than {self._per_minute} requests a minute", found=self._seen[who])


class ValidatorService:
    """Checks C1 to C8 in their order; a commitment is in the ledger before it is answered."""

    def __init__(
        self, config: ServiceConfig, commitments: Commitments, on_commitment: OnCommitment, clock: Clock
    ) -> None:
        self._config = config
        self._commitments = commitments
        self._on_commitment = on_commitment
        self._clock = clock
        self._by_hotkey = RateLimit(config.posts_per_hotkey)
        self._by_address = RateLimit(config.posts_per_address)
        self._seen = SeenTokens(clock)
        self._started_at = clock.now()

    async def health(self, request: Request) -> Response:
        """Call 1: ok only if database and object store were just written and read."""
        try:
            await run_in_threadpool(self._commitments.probe)
            status = "degraded" if await run_in_threadpool(self._config.degraded) else "ok"
            stale = await run_in_threadpool(self._config.stale_since)
        except PlatformFault as fault:
            return problem_of(request, fault)
        return health(status, self._config.key, self._config.network, self._clock.now(), stale)

    async def commitment(self, request: Request) -> Response:
        """Call 3: what cannot be tied to a sender is answered unsigned."""
        try:
            self._by_address.require(request.client.host if request.client else "", self._clock.now())
            body = await read_body(request, CommitmentRequest.max_bytes)
            received_at = self._clock.now()
            call = await self._call_of(body)
            claims = self._prove(request, body, call)
        except (Refusal, PlatformFault) as refusal:
            return hang_up(problem_of(request, refusal))
        response = await self._judge(request, Push(body, received_at, claims, call))
        return signed(response, self._config.key, claims, self._clock.now())

    async def _call_of(self, body: bytes) -> OpenCall:
        try:
            run_id = CommitmentRequest.parse(body).data.commitment.get("run_id")
        except ValueError as error:
            raise Refusal("Malformed", str(error)) from error
        call = await run_in_threadpool(self._commitments.call_of, run_id) if isinstance(run_id, str) else None
        if call is None:
            raise Refusal("UnknownJob", "no such run is open here", found=run_id)
        return call

    def _prove(self, request: Request, body: bytes, call: OpenCall) -> RequestClaims:
        keys = {hotkey: hotkey for hotkey in call.hotkeys}
        gate = Gate(keys, self._seen.first_use, not_before=self._started_at)
        received = Call(self._config.key.hotkey, request.method, request.url.path, body)
        return verify_request(bearer(request), received, gate, self._clock.now())

    async def _judge(self, request: Request, push: Push) -> Response:
        try:
            return await self._accept(request, push)
        except (Refusal, PlatformFault) as refusal:
            return problem_of(request, refusal)
        except CommitmentLate as late:
            return problem_of(request, Refusal("Forbidden", str(late)))
        except MinerFault as fault:
            code = COMMITMENT_PROBLEMS[fault.code]
            return problem_of(request, Refusal(code, fault.detail, found=fault.found, expected=fault.expected))

    async def _accept(self, request: Request, push: Push) -> Response:
        call, claims = push.call, push.claims
        self._by_hotkey.require(claims.iss, self._clock.now())
        if call.sealed:
            raise Refusal("Forbidden", "the run is sealed")
        offer = CommitmentRequest.read(push.body, claims.jti).data
        received = ReceivedCommitment(
            commitment=accept(offer, call.data, claims.iss, call.layout),
            signature=offer.signature,
            received_at=push.received_at,
            channel="push",
        )
        recorded = await run_in_threadpool(self._commitments.record, received)
        answer = recorded.answer(call.deadline)
        if recorded.stood:
            return problem_of(request, Refusal("CommitmentExists", "the first commitment stands"), answer)
        tell = BackgroundTask(self._on_commitment, recorded, answer.in_time)
        status = 201 if recorded.created else 200
        return Response(answer.body, status, media_type="application/json", background=tell)


def validator_app(
    config: ServiceConfig,
    commitments: Commitments,
    on_commitment: OnCommitment,
    clock: Clock,
    log: Sequence[Route] = (),
) -> Starlette:
    """The app; `on_commitment` is called after the answer, so that its failing is told by the server's log only.

    `log` are the routes of the transparency log.
    """
    service = ValidatorService(config, commitments, on_commitment, clock)
    return Starlette(
        routes=[
            Route(f"{config.base_path}/health", service.health),
            Route(f"{config.base_path}/weather-commitment", service.commitment, methods=["POST"]),
            *log,
        ]
    )
