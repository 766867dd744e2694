"""The miner's side of the calls 1, 2, 4, 5, 6 and 7: one Starlette application a miner."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import partial
from typing import TypeVar
from urllib.parse import urlsplit
from uuid import uuid4

from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request as HttpRequest
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from activities.messages.inference import MinerJobInput, Requested
from adapters.http_service import SeenTokens, bearer, health, problem_of, read_body, signed
from adapters.object_store import storage_faults
from miner.jobs import Job, OtherJob, job_of
from miner.log_watch import watch_log
from miner.premises import HostedMiner, Premises, StartJob
from miner.store_writer import MANIFEST
from protocol import names
from protocol.commitment import first_broken
from protocol.document import Document
from protocol.messages import (
    CommitmentData,
    ForecastAnswer,
    ForecastRequest,
    ForecastRequestData,
    JobError,
    KerchunkCompleted,
    KerchunkError,
    KerchunkNotFound,
    KerchunkProcessing,
    KerchunkRequest,
    ReceiptDelivery,
    ReceiptStored,
    Request,
)
from protocol.problems import Refusal
from protocol.tokens import (
    LONGEST_ACCESS,
    Access,
    Call,
    Gate,
    RequestClaims,
    check_access,
    sign_access,
    verify_request,
)
from weather.faults import ConfigurationInvalid, PlatformFault

refused = partial(problem_of, retry_seconds=30)

Body = TypeVar("Body", bound=Request)
Handler = Callable[[RequestClaims, Body], Awaitable[tuple[int, Document]]]
After = Callable[[RequestClaims, Body], None]


class MinerService:
    """One miner; requests are verified, answers signed, and nothing is shown without an access token."""

    def __init__(self, me: HostedMiner, premises: Premises, start_job: StartJob) -> None:
        self._me = me
        self._premises = premises
        self._start_job = start_job
        started_at = premises.started_at.replace(microsecond=0)
        self._gate = Gate(premises.registry.validator_keys, SeenTokens(premises.clock).first_use, started_at)

    def app(self) -> ASGIApp:
        """The application below the base path."""
        routes = [
            Route("/health", self.health),
            self._post("/weather-forecast-request", ForecastRequest, self._forecast),
            self._post("/weather-kerchunk-request", KerchunkRequest, self._kerchunk),
            self._post("/weather-receipt", ReceiptDelivery, self._receipt, self._watch),
            Route("/zarr/{job_id}/{path:path}", self.store_object, methods=["GET"]),
        ]
        service = Starlette(routes=routes)
        service.router.redirect_slashes = False
        return self._me.cheat.service or service

    async def health(self, request: HttpRequest) -> Response:
        """Call 1: 503 unless database and disk were written and read just now."""
        try:
            await asyncio.to_thread(self._probe)
        except PlatformFault as fault:
            return refused(request, fault)
        return health("ok", self._me.key, self._premises.registry.network, self._now())

    async def store_object(self, request: HttpRequest) -> Response:
        """Calls 6 and 7: the bytes as committed."""
        job_id, path = request.path_params["job_id"], request.path_params["path"]
        try:
            check_access(bearer(request), self._me.key.hotkey, job_id, self._now())
            body = await asyncio.to_thread(self._read, job_id, path)
        except (Refusal, PlatformFault) as refusal:
            return refused(request, refusal)
        return Response(body, media_type="application/octet-stream")

    def _post(self, path: str, kind: type[Body], handler: Handler[Body], after: After[Body] | None = None) -> Route:
        async def endpoint(request: HttpRequest) -> Response:
            try:
                body = await read_body(request, kind.max_bytes)
                claims = self._authenticate(request, path, body)
            except Refusal as refusal:
                return refused(request, refusal)
            try:
                asked = kind.read(body, claims.jti)
                status, document = await handler(claims, asked)
            except (Refusal, PlatformFault) as refusal:
                return signed(refused(request, refusal), self._me.key, claims, self._now())
            told = BackgroundTask(after, claims, asked) if after else None
            answer = Response(document.body, status, media_type="application/json", background=told)
            return signed(answer, self._me.key, claims, self._now())

        return Route(path, endpoint, methods=["POST"])

    async def _forecast(self, claims: RequestClaims, request: ForecastRequest) -> tuple[int, Document]:
        call, me = request.data, self._me
        job, created = await asyncio.to_thread(self._receive, call)
        start = MinerJobInput(
            job_id=job.job_id,
            hotkey=job.hotkey,
            run_id=job.run_id,
            name=me.settings.name,
            hold_back=me.cheat.hold_back,
        )
        wanted = Requested(validator=claims.iss, deadline=call.commit_deadline, retain_until=call.retain_until)
        await self._start_job(start, wanted)
        answer = ForecastAnswer(
            job_id=job.job_id, status=job.status, input_data_hash=_inputs_read(job), error=_error(job)
        )
        return 202 if created else 200, answer

    def _receive(self, call: ForecastRequestData) -> tuple[Job, bool]:
        hotkey = self._me.key.hotkey
        expected = names.job_id(self._premises.registry.network, call.run_id, hotkey)
        if call.job_id != expected:
            raise Refusal("Unsupported", "job of another network or miner", found=call.job_id, expected=expected)
        try:
            call.require_layout(self._premises.catalog.layout(call.grid))
            return self._premises.jobs.receive(job_of(call, hotkey, self._now()))
        except ConfigurationInvalid as unknown:
            raise Refusal("Unsupported", str(unknown)) from unknown
        except OtherJob as other:
            raise Refusal("JobConflict", str(other)) from other

    async def _kerchunk(self, claims: RequestClaims, request: KerchunkRequest) -> tuple[int, Document]:
        job = await asyncio.to_thread(self._premises.jobs.get, request.data.job_id)
        if job is None or job.hotkey != self._me.key.hotkey or job.expired_at:
            return 200, KerchunkNotFound(job_id=request.data.job_id)
        if job.offer:
            return 200, self._completed(job, claims.iss, job.offer)
        if error := _error(job):
            return 200, KerchunkError(job_id=job.job_id, error=error)
        return 200, KerchunkProcessing(job_id=job.job_id, stage=job.stage, input_data_hash=_inputs_read(job))

    async def _receipt(self, claims: RequestClaims, request: ReceiptDelivery) -> tuple[int, Document]:
        run_id = request.data.receipt.entry.run_id
        job_id = names.job_id(self._premises.registry.network, run_id, self._me.key.hotkey)
        job = await asyncio.to_thread(self._premises.jobs.get, job_id)
        if job is None or job.offer is None:
            raise Refusal("UnknownJob", f"no commitment for {run_id}")
        if broken := first_broken(job.offer, request.data, self._me.key.hotkey, claims.iss):
            raise Refusal("BindingMismatch", f"{broken} does not hold")
        await asyncio.to_thread(self._premises.jobs.keep_receipt, job_id, claims.iss, request.data.body.decode())
        return 200, ReceiptStored(job_id=job_id)

    def _watch(self, claims: RequestClaims, request: ReceiptDelivery) -> None:
        watch_log(claims.iss, request.data, self._premises)

    def _completed(self, job: Job, validator: str, offer: CommitmentData) -> KerchunkCompleted:
        access = Access(self._me.key.hotkey, validator, job.job_id)
        return KerchunkCompleted(
            job_id=job.job_id,
            access_token=sign_access(self._me.key, access, str(uuid4()), (self._now(), LONGEST_ACCESS)),
            zarr_store_url=f"{self._me.base_url}/zarr/{job.job_id}/",
            verification_hash=offer.commitment["root"],
            commitment=offer.commitment,
            signature=offer.signature,
        )

    def _read(self, job_id: str, path: str) -> bytes:
        job = self._premises.jobs.get(job_id)
        objects = self._premises.catalog.layout(job.grid).size_limits if job and job.offer else ()
        try:
            if path in objects or (objects and path == MANIFEST):
                return (self._premises.store(job_id) / path).read_bytes()
        except FileNotFoundError:
            pass
        raise Refusal("UnknownJob", f"no object {path[:200]} of job {job_id[:36]}")

    def _authenticate(self, request: HttpRequest, path: str, body: bytes) -> RequestClaims:
        url_path = urlsplit(self._me.base_url).path + path
        call = Call(audience=self._me.key.hotkey, method=request.method, path=url_path, body=body)
        return verify_request(bearer(request), call, self._gate, self._now())

    def _now(self) -> datetime:
        return self._premises.clock.now()

    def _probe(self) -> None:
        path = self._premises.data_dir / f"probe-{self._me.settings.name}"
        with storage_faults():
            path.write_bytes(b"probe")
            path.read_bytes()
        self._premises.jobs.probe()


def _inputs_read(job: Job) -> str | None:
    return None if job.stage == "fetching" else job.input_data_hash


def _error(job: Job) -> JobError | None:
    if job.status != "error":
        return None
    return JobError.of_value({"code": job.error_code, "detail": job.error_detail or ""})
