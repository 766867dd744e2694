"""Bodies of calls 2 to 5: forecast request, commitment, kerchunk request, receipt."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, ClassVar, Literal, Self, get_args

from pydantic import Field, StringConstraints, model_validator

from protocol.canonical import J, digest, load_json_strict
from protocol.document import Count, Digest, Document, Hotkey, JobId, Name, Nonce, Protocol, RunId, Time, Word
from protocol.layout import Layout
from protocol.names import PROTOCOL, job_id, parse_run_id
from protocol.problems import Refusal
from protocol.receipt import CommitmentAnswer
from weather.score_spec import Positive

KIB = 1_024
Detail = Annotated[str, StringConstraints(max_length=500)]


class Request(Document):
    """Body of a POST; the nonce is the `jti` of its token."""

    nonce: Nonce

    @classmethod
    def read(cls, body: bytes, jti: str) -> Self:
        """Read an authenticated request; Refusal: TooLarge, Malformed, or Unauthenticated for another nonce."""
        if len(body) > cls.max_bytes:
            raise Refusal("TooLarge", "body above its limit", found=len(body), expected=cls.max_bytes)
        try:
            request = cls.parse(body)
        except ValueError as error:
            raise Refusal("Malformed", str(error)) from error
        if request.nonce != jti:
            raise Refusal("Unauthenticated", "nonce is not that of the token", found=request.nonce, expected=jti)
        return request


class InputObject(Document):
    """One field of the GFS analysis, as a byte range of a file."""

    source: Word
    name: Word
    init_time: Time
    lead_time_hours: Count
    variable: Word
    level: Positive | None
    offset: Count
    length: Positive
    sha256: Digest


class InitMetadata(Document):
    """The fixed inputs of a run."""

    objects: Annotated[tuple[InputObject, ...], Field(min_length=1, max_length=512)]


def input_data_hash(objects: Iterable[InputObject]) -> str:
    """`D("inputs", J(gfs_init_metadata))`."""
    return digest("inputs", InitMetadata(objects=tuple(objects)).canonical)


class StoreIdentity(Document):
    """Whose forecast for which run: attributes of a store's root group, and part of its commitment."""

    protocol: Protocol = PROTOCOL
    network: Name
    run_id: RunId
    job_id: JobId
    init_time: Time
    hotkey: Hotkey
    grid: Name
    layout_digest: Digest


class ForecastRequestData(Document):
    """The call of a run; equal for all miners except `job_id`."""

    protocol: Protocol = PROTOCOL
    network: Name
    run_id: RunId
    purpose: Literal["live", "hindcast"]
    job_id: JobId
    gfs_init_time: Time
    gfs_init_metadata: InitMetadata
    input_data_hash: Digest
    forecast_step_hours: Positive
    inference_steps: Positive
    grid: Name
    layout_digest: Digest
    score_spec_digest: Digest
    first_scored_lead_hours: Positive
    requested_at: Time
    commit_deadline: Time
    retain_until: Time

    @model_validator(mode="after")
    def _holds(self) -> Self:
        run = parse_run_id(self.run_id)
        if run.init_time != self.gfs_init_time or (run.campaign is None) != (self.purpose == "live"):
            raise ValueError(f"init time or purpose is not that of {self.run_id}")
        if self.input_data_hash != input_data_hash(self.gfs_init_metadata.objects):
            raise ValueError("input_data_hash is not that of gfs_init_metadata")
        return self

    @property
    def call_digest(self) -> str:
        """`D("call", J(data without job_id))`."""
        return digest("call", J({name: value for name, value in self.value.items() if name != "job_id"}))

    def identity(self, hotkey: str) -> StoreIdentity:
        """What the store of a miner for this call must say of itself."""
        shared = self.addressed_to(hotkey).model_dump(include=set(StoreIdentity.model_fields))
        return StoreIdentity(**shared, init_time=self.gfs_init_time, hotkey=hotkey)

    def addressed_to(self, hotkey: str) -> Self:
        """The same call with the job id of a miner."""
        return self.model_copy(update={"job_id": job_id(self.network, self.run_id, hotkey)})

    def require_layout(self, layout: Layout) -> None:
        """Refuse as Unsupported a call that has not the digest, step or count of one's own layout of its grid."""
        leads = layout.lead_time_hours
        found = (self.grid, self.layout_digest, self.forecast_step_hours, self.inference_steps)
        expected = (layout.grid, layout.digest, leads[0], len(leads))
        if found != expected:
            raise Refusal("Unsupported", "the call does not fit the layout", found=found, expected=expected)


class ForecastRequest(Request):
    """Call 2."""

    max_bytes: ClassVar[int] = 256 * KIB

    data: ForecastRequestData


class JobError(Document):
    """Why a miner has no forecast."""

    code: Literal["input_unavailable", "inference_failed", "storage_failed", "unsupported", "busy", "declined"]
    detail: Detail


class ForecastAnswer(Document):
    """Answer of call 2."""

    max_bytes: ClassVar[int] = 16 * KIB

    job_id: JobId
    status: Literal["received", "processing", "completed", "error"]
    estimated_ready_at: Time | None = None
    input_data_hash: Digest | None = None
    error: JobError | None = None

    @model_validator(mode="after")
    def _holds(self) -> Self:
        if (self.error is not None) != (self.status == "error"):
            raise ValueError("`error` is given with the status error and with no other")
        return self


class CommitmentData(Document):
    """A commitment as it travels: its members and formats are judged by `Commitment.parse`."""

    commitment: dict[str, Any]
    signature: str


class CommitmentRequest(Request):
    """Call 3."""

    max_bytes: ClassVar[int] = 16 * KIB

    data: CommitmentData


class KerchunkData(Document):
    """Which job is asked for."""

    job_id: JobId


class KerchunkRequest(Request):
    """Call 4."""

    max_bytes: ClassVar[int] = 4 * KIB

    data: KerchunkData


class KerchunkCompleted(Document):
    """The store is there: a token for it, and the commitment."""

    status: Literal["completed"] = "completed"
    job_id: JobId
    access_token: Annotated[str, StringConstraints(max_length=4 * KIB)]
    zarr_store_url: Annotated[str, StringConstraints(max_length=2 * KIB)]
    verification_hash: Digest
    commitment: dict[str, Any]
    signature: str


class KerchunkProcessing(Document):
    """The forecast is being made."""

    status: Literal["processing"] = "processing"
    job_id: JobId
    stage: Literal["fetching", "inference", "writing"]
    estimated_ready_at: Time | None = None
    input_data_hash: Digest | None = None
    retry_after_seconds: Annotated[int, Field(ge=30, le=600)] = 30


class KerchunkError(Document):
    """The miner failed."""

    status: Literal["error"] = "error"
    job_id: JobId
    error: JobError


class KerchunkNotFound(Document):
    """The miner has no such job."""

    status: Literal["not_found"] = "not_found"
    job_id: JobId


KerchunkAnswer = KerchunkCompleted | KerchunkProcessing | KerchunkError | KerchunkNotFound
KERCHUNK_MAX_BYTES = 64 * KIB
_KERCHUNK = {answer.model_fields["status"].default: answer for answer in get_args(KerchunkAnswer)}


def parse_kerchunk_answer(body: bytes) -> KerchunkAnswer:
    """Read the answer of call 4; ValueError if too long, not strict JSON, or none of the four answers."""
    value = load_json_strict(body, KERCHUNK_MAX_BYTES, signed=False)
    status = value.get("status") if isinstance(value, dict) else None
    if not isinstance(status, str) or status not in _KERCHUNK:
        raise ValueError(f"status {str(status)[:80]!r} is none of {', '.join(_KERCHUNK)}")
    return _KERCHUNK[status].of_value(value)


class ReceiptDelivery(Request):
    """Call 5."""

    max_bytes: ClassVar[int] = 16 * KIB

    data: CommitmentAnswer


class ReceiptStored(Document):
    """Answer of call 5."""

    max_bytes: ClassVar[int] = 4 * KIB

    job_id: JobId
    status: Literal["stored"] = "stored"
