import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from protocol.canonical import J
from protocol.jws import seal
from protocol.problems import Refusal
from protocol.tokens import (
    ACCESS,
    ANSWER,
    REQUEST,
    WRONG_TIME,
    Access,
    Answer,
    Call,
    Gate,
    check_access,
    sign_access,
    sign_answer,
    sign_request,
    verify_access,
    verify_answer,
    verify_request,
)
from tests.unit.protocol.world import CALL, MINER, NONCE, NOW, OTHER, VALIDATOR
from weather.faults import BadAnswer, TokenInvalid

IAT = int(NOW.timestamp())
BODY = json.dumps({"nonce": NONCE, "data": {}}).encode()
REQUESTED = Call(MINER.hotkey, "POST", "/a/weather-forecast-request", BODY)
ANSWERED = Answer(VALIDATOR.hotkey, NONCE, 202, b'{"status":"received"}')
READABLE = Access(MINER.hotkey, VALIDATOR.hotkey, CALL.job_id)
SECOND = timedelta(seconds=1)
MICROSECOND = timedelta(microseconds=1)

REQUEST_CLAIMS = {
    "iss": VALIDATOR.hotkey,
    "aud": MINER.hotkey,
    "iat": IAT,
    "exp": IAT + 60,
    "jti": NONCE,
    "method": "POST",
    "path": REQUESTED.path,
    "body_sha256": hashlib.sha256(BODY).hexdigest(),
}
ANSWER_CLAIMS = {
    "iss": MINER.hotkey,
    "aud": VALIDATOR.hotkey,
    "iat": IAT,
    "exp": IAT + 60,
    "request": NONCE,
    "status": 202,
    "body_sha256": hashlib.sha256(ANSWERED.body).hexdigest(),
}
PARTIES = {"iss": MINER.hotkey, "aud": MINER.hotkey, "sub": VALIDATOR.hotkey, "job": CALL.job_id}
ACCESS_CLAIMS = {**PARTIES, "iat": IAT, "exp": IAT + 7200, "jti": "one"}


def gate(**changes: object) -> Gate:
    seen: set[str] = set()

    def first_use(jti: str, until: datetime) -> bool:
        new = jti not in seen
        seen.add(jti)
        return new

    keys = {VALIDATOR.hotkey: VALIDATOR.hotkey, OTHER.hotkey: VALIDATOR.hotkey}
    return replace(Gate(keys, first_use), **changes)


def code_of(token: str, call: Call = REQUESTED, now: datetime = NOW, at: Gate | None = None) -> str:
    with pytest.raises(Refusal) as refused:
        verify_request(token, call, at or gate(), now)
    return refused.value.code


def request(**claims: object) -> str:
    return seal(VALIDATOR, REQUEST, J({**REQUEST_CLAIMS, **claims}))


def encode(value: object) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def with_header(header: object, claims: object, sign: Callable[[bytes], bytes] = VALIDATOR.sign) -> str:
    signed = f"{encode(header)}.{encode(claims)}"
    return f"{signed}.{encode(sign(signed.encode()))}"


def test_a_request_is_accepted_once() -> None:
    token, once = sign_request(VALIDATOR, REQUESTED, NOW), gate()
    assert verify_request(token, REQUESTED, once, NOW).value == REQUEST_CLAIMS
    assert code_of(token, at=once) == "Replayed"


def test_a_request_key_speaks_for_its_validator_only() -> None:
    token = sign_request(OTHER, REQUESTED, NOW, issuer=VALIDATOR.hotkey)
    assert verify_request(token, REQUESTED, gate(), NOW).iss == VALIDATOR.hotkey
    assert code_of(sign_request(OTHER, REQUESTED, NOW)) == "Unauthenticated"
    assert code_of(sign_request(MINER, REQUESTED, NOW, issuer=VALIDATOR.hotkey)) == "Unauthenticated"


GOOD_HEADER = {"alg": "EdDSA", "typ": REQUEST, "kid": VALIDATOR.hotkey}


def hs256(message: bytes) -> bytes:
    return hmac.digest(bytes.fromhex(VALIDATOR.hotkey), message, "sha256")


@pytest.mark.parametrize(
    "token",
    [
        "",
        "a.b",
        "a.b.c.d",
        "é.b.c",
        with_header({**GOOD_HEADER, "alg": "none"}, REQUEST_CLAIMS, lambda _: b""),
        with_header({**GOOD_HEADER, "alg": "HS256"}, REQUEST_CLAIMS, hs256),
        with_header({**GOOD_HEADER, "alg": "Ed25519"}, REQUEST_CLAIMS),
        with_header({**GOOD_HEADER, "typ": ANSWER}, REQUEST_CLAIMS),
        with_header({**GOOD_HEADER, "crit": []}, REQUEST_CLAIMS),
        with_header({**GOOD_HEADER, "kid": None}, REQUEST_CLAIMS),
        with_header({"alg": "EdDSA", "typ": REQUEST}, REQUEST_CLAIMS),
        with_header(json.dumps(GOOD_HEADER).replace("{", '{"alg":"none",').encode(), REQUEST_CLAIMS),
        with_header([], REQUEST_CLAIMS),
        with_header(GOOD_HEADER, {**REQUEST_CLAIMS, "more": 1}),
        with_header(GOOD_HEADER, {**REQUEST_CLAIMS, "iat": IAT + 0.5}),
        with_header(GOOD_HEADER, {**REQUEST_CLAIMS, "iat": str(IAT)}),
        with_header(GOOD_HEADER, {**REQUEST_CLAIMS, "iat": True}),
        with_header(GOOD_HEADER, {name: value for name, value in REQUEST_CLAIMS.items() if name != "jti"}),
        with_header(GOOD_HEADER, b"not json"),
        request(jti=CALL.job_id),
        request(iss=OTHER.hotkey),
        request(exp=IAT),
        request(exp=IAT + 61),
        request(method="GET"),
        request(path="/weather-forecast-request"),
        request(body_sha256="00" * 32),
        sign_request(VALIDATOR, REQUESTED, NOW) + "=",
        sign_request(VALIDATOR, REQUESTED, NOW).replace(".", "\n."),
        request(path="/" + "a" * 4_000),
    ],
)
def test_a_token_that_proves_nothing_is_refused(token: str) -> None:
    assert code_of(token) == "Unauthenticated"


def test_every_flipped_character_of_a_token_is_refused() -> None:
    token = sign_request(VALIDATOR, REQUESTED, NOW)
    for index, character in enumerate(token):
        other = chr(ord(character) ^ 1)
        assert code_of(token[:index] + other + token[index + 1 :]) == "Unauthenticated"


def test_checks_come_in_the_order_of_the_protocol() -> None:
    """Each token has the fault of its place and all later ones."""
    used = gate(first_use=lambda jti, until: False)
    late = {"iat": IAT - 3_600, "exp": IAT - 3_540}
    body = {**late, "method": "GET", "body_sha256": "00" * 32}
    too_long = {**body, "exp": IAT}
    cases = [
        ("x" * 4_097, "Unauthenticated", "4097 characters"),
        (with_header({**GOOD_HEADER, "alg": "none", "kid": MINER.hotkey}, b"?"), "Unauthenticated", "header"),
        (with_header({**GOOD_HEADER, "kid": MINER.hotkey}, b"?"), "Unauthenticated", "not registered"),
        (with_header(GOOD_HEADER, b"?", lambda _: bytes(64)), "Unauthenticated", "signature"),
        (request(aud=OTHER.hotkey, **too_long), "Forbidden", "addressed"),
        (request(**too_long), "Unauthenticated", "lives"),
        (request(**body), "TokenExpired", WRONG_TIME),
        (request(**{**body, "iat": IAT, "exp": IAT + 60}), "Unauthenticated", "method"),
        (request(body_sha256="00" * 32), "Unauthenticated", "other body"),
        (request(), "Replayed", "before"),
    ]
    for token, code, words in cases:
        with pytest.raises(Refusal, match=words) as refused:
            verify_request(token, REQUESTED, used, NOW)
        assert refused.value.code == code


def test_clocks_may_differ_by_thirty_seconds_each_way() -> None:
    token = sign_request(VALIDATOR, REQUESTED, NOW)
    for now in (NOW - 30 * SECOND, NOW + 90 * SECOND):
        verify_request(token, REQUESTED, gate(), now)
    for now in (NOW - 30 * SECOND - MICROSECOND, NOW + 90 * SECOND + MICROSECOND):
        assert code_of(token, now=now) == "TokenExpired"


def test_a_token_is_kept_in_memory_as_long_as_it_could_be_used() -> None:
    kept: dict[str, datetime] = {}
    remembering = gate(first_use=lambda jti, until: kept.setdefault(jti, until) is until)
    verify_request(sign_request(VALIDATOR, REQUESTED, NOW), REQUESTED, remembering, NOW)
    assert kept == {NONCE: NOW + 90 * SECOND}


def test_a_process_without_durable_memory_refuses_what_is_older_than_itself() -> None:
    token = sign_request(VALIDATOR, REQUESTED, NOW)
    verify_request(token, REQUESTED, gate(not_before=NOW), NOW + SECOND)
    assert code_of(token, at=gate(not_before=NOW + MICROSECOND)) == "TokenExpired"


def test_an_answer_holds_for_its_request() -> None:
    verify_answer(sign_answer(MINER, ANSWERED, NOW), ANSWERED, MINER.hotkey, NOW)
    for now in (NOW - 30 * SECOND, NOW + 90 * SECOND):
        verify_answer(sign_answer(MINER, ANSWERED, NOW), ANSWERED, MINER.hotkey, now)


def answer(**claims: object) -> str:
    return seal(MINER, ANSWER, J({**ANSWER_CLAIMS, **claims}))


@pytest.mark.parametrize(
    "token",
    [
        "",
        sign_answer(OTHER, ANSWERED, NOW),
        seal(MINER, REQUEST, J(ANSWER_CLAIMS)),
        answer(iss=OTHER.hotkey),
        answer(aud=OTHER.hotkey),
        answer(request="00000000-0000-4000-8000-000000000000"),
        answer(status=200),
        answer(body_sha256="00" * 32),
        answer(exp=IAT + 61),
        answer(exp=IAT),
        answer(iat=IAT - 600, exp=IAT - 540),
    ],
)
def test_any_other_answer_is_bad(token: str) -> None:
    with pytest.raises(BadAnswer):
        verify_answer(token, ANSWERED, MINER.hotkey, NOW)


def test_an_answer_wrong_in_time_alone_says_so() -> None:
    for now in (NOW - 30 * SECOND - MICROSECOND, NOW + 90 * SECOND + MICROSECOND):
        with pytest.raises(BadAnswer) as refused:
            verify_answer(sign_answer(MINER, ANSWERED, NOW), ANSWERED, MINER.hotkey, now)
        assert refused.value.detail == WRONG_TIME
    with pytest.raises(BadAnswer, match="status"):
        verify_answer(answer(status=200, iat=IAT - 600, exp=IAT - 540), ANSWERED, MINER.hotkey, NOW)


def access(**claims: object) -> str:
    return seal(MINER, ACCESS, J({**ACCESS_CLAIMS, **claims}))


def test_an_access_token_of_ten_minutes_to_two_hours_is_accepted_by_both_sides() -> None:
    assert sign_access(MINER, READABLE, "one", (NOW, timedelta(hours=2))) == access()
    for life in (600, 7_200):
        verify_access(access(exp=IAT + life), READABLE, NOW)
        assert check_access(access(exp=IAT + life), MINER.hotkey, CALL.job_id, NOW).sub == VALIDATOR.hotkey


@pytest.mark.parametrize(
    "token",
    [
        "",
        with_header({"alg": "none", "typ": ACCESS, "kid": MINER.hotkey}, ACCESS_CLAIMS, lambda _: b""),
        with_header({"alg": "HS256", "typ": ACCESS, "kid": MINER.hotkey}, ACCESS_CLAIMS, hs256),
        seal(OTHER, ACCESS, J(ACCESS_CLAIMS)),
        seal(MINER, ANSWER, J(ACCESS_CLAIMS)),
        access(iss=OTHER.hotkey),
        access(aud=VALIDATOR.hotkey),
        access(sub=OTHER.hotkey),
        access(job="a51b26e1-5094-59b4-943d-47aead922984"),
        access(exp=IAT + 599),
        access(exp=IAT + 7_201),
        access(exp=IAT + 86_400),
        access(iat=IAT - 7_141, exp=IAT + 59),
        access(iat=IAT + 31, exp=IAT + 3_600),
    ],
)
def test_any_other_access_token_is_invalid(token: str) -> None:
    with pytest.raises(TokenInvalid):
        verify_access(token, READABLE, NOW)


def test_a_minute_of_an_access_token_must_be_left() -> None:
    verify_access(access(iat=IAT - 7_140, exp=IAT + 60), READABLE, NOW)


def test_a_reader_needs_a_token_of_this_miner_for_this_job_and_time() -> None:
    refused = {
        "": "Unauthenticated",
        seal(OTHER, ACCESS, J(ACCESS_CLAIMS)): "Unauthenticated",
        access(aud=OTHER.hotkey): "Forbidden",
        access(iat=IAT - 7_300, exp=IAT - 100): "TokenExpired",
        access(job="a51b26e1-5094-59b4-943d-47aead922984"): "Forbidden",
    }
    for token, code in refused.items():
        with pytest.raises(Refusal) as problem:
            check_access(token, MINER.hotkey, CALL.job_id, NOW)
        assert problem.value.code == code
