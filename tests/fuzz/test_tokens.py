"""Tokens of requests, answers and store access: one bit off, or signed nonsense, is the one documented refusal."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from protocol.identity import PrivateKey, require_hotkey
from protocol.problems import Refusal
from protocol.tokens import (
    ACCESS,
    ANSWER,
    REQUEST,
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
from tests.fuzz.mutations import HOSTILE_JSON, changed_bytes, changed_json
from tests.fuzz.profiles import bounded
from tests.unit.protocol.world import CALL, MINER, NONCE, NOW, OTHER, VALIDATOR
from weather.faults import BadAnswer, TokenInvalid

BODY = json.dumps({"nonce": NONCE}).encode()
SENT = Call(VALIDATOR.hotkey, "POST", "/weather-commitment", BODY)
ANSWERED = Answer(VALIDATOR.hotkey, NONCE, 200, BODY)
OPENED = Access(MINER.hotkey, VALIDATOR.hotkey, CALL.job_id)
GATE = Gate({MINER.hotkey: MINER.hotkey}, lambda jti, until: True)

Verify = Callable[[str], object]
KINDS: dict[str, tuple[str, str, Verify, type[Exception]]] = {
    "request": (REQUEST, sign_request(MINER, SENT, NOW), lambda t: verify_request(t, SENT, GATE, NOW), Refusal),
    "answer": (
        ANSWER,
        sign_answer(MINER, ANSWERED, NOW),
        lambda token: verify_answer(token, ANSWERED, MINER.hotkey, NOW),
        BadAnswer,
    ),
    "access": (
        ACCESS,
        sign_access(MINER, OPENED, "1", (NOW, timedelta(hours=1))),
        lambda token: verify_access(token, OPENED, NOW),
        TokenInvalid,
    ),
    "shown access": (
        ACCESS,
        sign_access(MINER, OPENED, "1", (NOW, timedelta(hours=1))),
        lambda token: check_access(token, MINER.hotkey, CALL.job_id, NOW),
        Refusal,
    ),
}


def encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def decoded(part: str) -> Any:
    return json.loads(base64.urlsafe_b64decode(part + "=="))


def sealed(header: bytes, claims: bytes, key: PrivateKey = MINER) -> str:
    signed = f"{encoded(header)}.{encoded(claims)}"
    return f"{signed}.{encoded(key.sign(signed.encode()))}"


def registrable(hotkey: str) -> bool:
    try:
        return bool(require_hotkey(hotkey))
    except ValueError:
        return False


def holds(kind: str, token: str) -> bool:
    _, _, verify, error = KINDS[kind]
    try:
        verify(token)
    except error as raised:
        assert "\0" not in str(raised)
        str(raised).encode()
        return False
    return True


@pytest.mark.parametrize("kind", KINDS)
def test_the_good_token_holds(kind: str) -> None:
    assert holds(kind, KINDS[kind][1])


@pytest.mark.parametrize("kind", KINDS)
@bounded(100)
@given(data=st.data())
def test_no_other_text_is_a_good_token(kind: str, data: st.DataObject) -> None:
    good = KINDS[kind][1]
    changed = data.draw(changed_bytes(good.encode()) | st.text(max_size=60).map(str.encode))
    token = changed.decode("latin-1")
    assert holds(kind, token) == (token == good)


@pytest.mark.parametrize("kind", KINDS)
@bounded(100)
@given(data=st.data())
def test_signed_nonsense_is_refused_or_says_the_same(kind: str, data: st.DataObject) -> None:
    header, claims, _ = KINDS[kind][1].split(".")
    parts = [
        data.draw(st.just(json.dumps(part).encode()) | changed_json(part)) for part in map(decoded, (header, claims))
    ]
    if holds(kind, sealed(parts[0], parts[1])):
        assert decoded(header) == json.loads(parts[0])
        free = {"jti", "iat", "exp"} if kind != "answer" else {"iat", "exp"}
        free |= {"sub"} if kind == "shown access" else set()
        new, old = json.loads(parts[1]), decoded(claims)
        assert {name for name in old if new[name] != old[name]} <= free and new.keys() == old.keys()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("part", HOSTILE_JSON.values(), ids=HOSTILE_JSON)
def test_hostile_json_in_a_signed_token_is_refused(kind: str, part: bytes) -> None:
    header, claims, _ = (base64.urlsafe_b64decode(one + "==") for one in KINDS[kind][1].split("."))
    assert not holds(kind, sealed(part, claims)) and not holds(kind, sealed(header, part))


@pytest.mark.parametrize("kind", ["request", "answer", "access"])  # the fourth is the miner's own word to itself
@bounded(100)
@given(data=st.data())
def test_any_times_are_judged(kind: str, data: st.DataObject) -> None:
    header, claims, _ = KINDS[kind][1].split(".")
    moments = st.integers(0, 2**53 - 1) | st.integers(-300, 9_000).map(lambda one: one + int(NOW.timestamp()))
    times = {"iat": data.draw(moments), "exp": data.draw(moments)}
    if holds(kind, sealed(json.dumps(decoded(header)).encode(), json.dumps({**decoded(claims), **times}).encode())):
        assert times["iat"] < times["exp"] <= times["iat"] + 7_200
        assert abs(datetime.fromtimestamp(times["iat"], UTC) - NOW) < timedelta(hours=2, minutes=1)


@bounded(60)
@given(kid=st.binary(min_size=32, max_size=32), signature=st.binary(min_size=64, max_size=64) | st.binary(max_size=70))
def test_any_registered_32_bytes_are_a_key_that_holds_nothing(kid: bytes, signature: bytes) -> None:
    assume(registrable(kid.hex()))
    header = json.dumps({"alg": "EdDSA", "typ": REQUEST, "kid": kid.hex()}).encode()
    token = f"{encoded(header)}.{encoded(BODY)}.{encoded(signature)}"
    with pytest.raises(Refusal):
        verify_request(token, SENT, Gate({kid.hex(): kid.hex()}, lambda jti, until: True), NOW)


def test_another_key_signs_for_nobody() -> None:
    for kind, (typ, _, _, _) in KINDS.items():
        header = json.dumps({"alg": "EdDSA", "typ": typ, "kid": MINER.hotkey}).encode()
        assert not holds(kind, sealed(header, hashlib.sha256(b"").digest(), OTHER))
