"""Tokens of requests, answers and store access."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, TypeVar

from pydantic import Field

from protocol.canonical import load_json_strict
from protocol.document import Count, Digest, Document, Hotkey, JobId, Nonce, Word
from protocol.identity import PrivateKey
from protocol.jws import seal, unseal
from protocol.problems import Refusal
from weather.faults import BadAnswer, TokenInvalid

REQUEST = "barograph-request+jwt"
ANSWER = "barograph-answer+jwt"
ACCESS = "barograph-access+jwt"

SKEW = timedelta(seconds=30)
MESSAGE_LIFE = timedelta(seconds=60)
SHORTEST_ACCESS = timedelta(minutes=10)
LONGEST_ACCESS = timedelta(minutes=120)
ACCESS_LEFT = timedelta(seconds=60)
WRONG_TIME = "token is not valid at this time"

Second = Annotated[int, Field(ge=0, le=253_402_300_799)]  # of the epoch, to the last that a datetime holds


class _Claims(Document):
    iss: Hotkey
    aud: Hotkey
    iat: Second
    exp: Second

    @property
    def issued(self) -> datetime:
        return datetime.fromtimestamp(self.iat, UTC)

    @property
    def expires(self) -> datetime:
        return datetime.fromtimestamp(self.exp, UTC)

    @property
    def life(self) -> timedelta:
        return self.expires - self.issued


class RequestClaims(_Claims):
    """What the sender of a request signs."""

    jti: Nonce
    method: Word
    path: Word
    body_sha256: Digest


class AnswerClaims(_Claims):
    """What the answerer signs."""

    request: Nonce
    status: Count
    body_sha256: Digest


class AccessClaims(_Claims):
    """What a miner lets a validator read."""

    sub: Hotkey
    job: JobId
    jti: Word


Claims = TypeVar("Claims", bound=_Claims)


@dataclass(frozen=True)
class Call:
    """A request as it is sent: path with the base path, body as on the wire, whose nonce is the `jti`."""

    audience: str
    method: str
    path: str
    body: bytes


@dataclass(frozen=True)
class Gate:
    """Who may call, and which calls were seen.

    Attributes:
        keys: issuer by each key that may sign for it.
        first_use: stores (jti, kept until) and says whether it is new.
        not_before: start of a process whose memory of `jti`s is not durable.
    """

    keys: Mapping[str, str]
    first_use: Callable[[str, datetime], bool]
    not_before: datetime | None = None


@dataclass(frozen=True)
class Answer:
    """An answer as it is sent: to whom, to which request, status and body as on the wire."""

    audience: str
    request_jti: str
    status: int
    body: bytes


@dataclass(frozen=True)
class Access:
    """Whose store of which job a validator may read."""

    miner: str
    validator: str
    job_id: str


def sign_request(key: PrivateKey, call: Call, now: datetime, issuer: str | None = None) -> str:
    """Token of a request; the issuer is the key's own hotkey, or the one that a request key speaks for."""
    claims = RequestClaims(
        iss=issuer or key.hotkey,
        aud=call.audience,
        jti=load_json_strict(call.body, len(call.body), signed=False)["nonce"],
        method=call.method,
        path=call.path,
        body_sha256=hashlib.sha256(call.body).hexdigest(),
        **_span(now, MESSAGE_LIFE),
    )
    return seal(key, REQUEST, claims.canonical)


# long: the order of the checks is the contract
def verify_request(token: str, call: Call, gate: Gate, now: datetime) -> RequestClaims:
    """Check the token of a request that came in, in the order of the protocol.

    Raises:
        Refusal: Unauthenticated, Forbidden, TokenExpired or Replayed.
    """
    claims = _signed(token, REQUEST, RequestClaims, gate.keys)
    _require(claims.aud == call.audience, "Forbidden", f"request is addressed to {claims.aud}")
    _require(timedelta(0) < claims.life <= MESSAGE_LIFE, "Unauthenticated", f"token lives {claims.life}")
    _require_time(claims, now)
    fresh = gate.not_before is None or claims.issued >= gate.not_before
    _require(fresh, "TokenExpired", "token is older than this process")
    _require((claims.method, claims.path) == (call.method, call.path), "Unauthenticated", "other method or path")
    _require(claims.body_sha256 == hashlib.sha256(call.body).hexdigest(), "Unauthenticated", "other body")
    _require(gate.first_use(claims.jti, claims.expires + SKEW), "Replayed", "token was used before")
    return claims


def sign_answer(key: PrivateKey, answer: Answer, now: datetime) -> str:
    """Token of an answer, for the header `Barograph-Answer`."""
    claims = AnswerClaims(
        iss=key.hotkey,
        aud=answer.audience,
        request=answer.request_jti,
        status=answer.status,
        body_sha256=hashlib.sha256(answer.body).hexdigest(),
        **_span(now, MESSAGE_LIFE),
    )
    return seal(key, ANSWER, claims.canonical)


def verify_answer(token: str, answer: Answer, answerer: str, now: datetime) -> None:
    """Check the token of an answer; its time comes last, so that `WRONG_TIME` means that nothing else is wrong.

    Raises:
        BadAnswer: wrong key, audience, request, status, digest, life or time.
    """
    try:
        claims = _signed(token, ANSWER, AnswerClaims, {answerer: answerer})
        _require(claims.aud == answer.audience, "Forbidden", f"answer is addressed to {claims.aud}")
        _require(claims.request == answer.request_jti, "Unauthenticated", "answer is to another request")
        _require(claims.status == answer.status, "Unauthenticated", f"answer has status {claims.status}")
        _require(claims.body_sha256 == hashlib.sha256(answer.body).hexdigest(), "Unauthenticated", "other body")
        _require(timedelta(0) < claims.life <= MESSAGE_LIFE, "Unauthenticated", f"token lives {claims.life}")
        _require_time(claims, now)
    except Refusal as problem:
        raise BadAnswer(problem.detail) from problem


def sign_access(key: PrivateKey, access: Access, jti: str, span: tuple[datetime, timedelta]) -> str:
    """Token to read a store of the key's own; the span is now and the life of the token, the `jti` any unique word."""
    claims = AccessClaims(
        iss=key.hotkey, aud=access.miner, sub=access.validator, job=access.job_id, jti=jti, **_span(*span)
    )
    return seal(key, ACCESS, claims.canonical)


def verify_access(token: str, access: Access, now: datetime) -> None:
    """Check, as a validator, a token that a miner gave.

    Raises:
        TokenInvalid: wrong key, audience, subject, job or life, or less than a minute left.
    """
    try:
        claims = _signed(token, ACCESS, AccessClaims, {access.miner: access.miner})
    except Refusal as problem:
        raise TokenInvalid(problem.detail) from problem
    if (claims.aud, claims.sub, claims.job) != (access.miner, access.validator, access.job_id):
        raise TokenInvalid("token is for another reader or job", found=claims, expected=access)
    if not SHORTEST_ACCESS <= claims.life <= LONGEST_ACCESS:
        raise TokenInvalid("life of the token", found=claims.life, expected=f"{SHORTEST_ACCESS} … {LONGEST_ACCESS}")
    left = claims.expires - now
    if left < ACCESS_LEFT or left > claims.life + SKEW:
        raise TokenInvalid(WRONG_TIME, found=left, expected=f"at least {ACCESS_LEFT} left")


def check_access(token: str, miner: str, job_id: str, now: datetime) -> AccessClaims:
    """Check a token that a reader shows; Refusal: Unauthenticated, TokenExpired, or Forbidden for another job."""
    claims = _signed(token, ACCESS, AccessClaims, {miner: miner})
    _require(claims.aud == miner, "Forbidden", f"token is addressed to {claims.aud}")
    _require_time(claims, now)
    _require(claims.job == job_id, "Forbidden", f"token is for job {claims.job}")
    return claims


def _span(now: datetime, life: timedelta) -> dict[str, int]:
    issued = int(now.timestamp())
    return {"iat": issued, "exp": issued + int(life.total_seconds())}


def _require(holds: bool, code: str, detail: str) -> None:
    if not holds:
        raise Refusal(code, detail)


def _require_time(claims: _Claims, now: datetime) -> None:
    _require(claims.issued - SKEW <= now and now - SKEW <= claims.expires, "TokenExpired", WRONG_TIME)


def _signed(token: str, typ: str, model: type[Claims], keys: Mapping[str, str]) -> Claims:
    """Claims whose issuer is the one that their key signs for."""
    try:
        jws = unseal(token, typ)
        _require(jws.kid in keys, "Unauthenticated", f"key {jws.kid[:64]} is not registered for this")
        _require(jws.holds(), "Unauthenticated", "signature does not verify")
        claims = model.parse(jws.payload)
    except ValueError as error:
        raise Refusal("Unauthenticated", f"token refused: {error}") from error
    _require(claims.iss == keys[jws.kid], "Unauthenticated", "key does not speak for the issuer")
    return claims
