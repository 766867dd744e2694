"""Requests that a miner must refuse: each is a good one but for the one thing that its name says."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any
from uuid import uuid4

from protocol.canonical import J
from protocol.identity import PrivateKey
from protocol.problems import PROBLEMS
from protocol.tokens import ANSWER, REQUEST
from starter.conform.bench import FORECAST, KERCHUNK, RECEIPT, Bench, Letter
from starter.conform.book import Check

Forge = Callable[[Bench, Letter], Letter]
GoodData = Callable[[Bench, Any], Mapping[str, Any]]
LIMITS = {FORECAST: 256 * 1024, KERCHUNK: 4 * 1024, RECEIPT: 16 * 1024}
UNPROVED, MALFORMED, UNSUPPORTED = ("Unauthenticated",), ("Malformed",), ("Unsupported", "Malformed")


def _headed(head: dict[str, str], good: Letter) -> Letter:
    _, claims, signature = (good.token or "").split(".")
    return replace(good, token=f"{base64.urlsafe_b64encode(J(head)).rstrip(b'=').decode()}.{claims}.{signature}")


def _alg_none(by: Bench, good: Letter) -> Letter:
    return _headed({"alg": "none", "typ": REQUEST, "kid": by.validator.hotkey}, good)


def _bad_signature(by: Bench, good: Letter) -> Letter:
    """A stranger's signature under the validator's `kid`."""
    return _headed({"alg": "EdDSA", "typ": REQUEST, "kid": by.validator.hotkey}, by.signed(good, PrivateKey.generate()))


def _too_large(by: Bench, good: Letter) -> Letter:
    return by.signed(replace(good, body=good.body.ljust(LIMITS[good.path] + 1)))


def _unknown_member(body: bytes) -> bytes:
    document = json.loads(body)
    return json.dumps(document | {"data": document["data"] | {"hash": "xxh64"}}).encode()


def _claims(**claims: Any) -> Forge:
    return lambda by, good: by.signed(good, **claims)


def _times(begin: int, end: int) -> Forge:
    return lambda by, good: by.signed(good, iat=by.second + begin, exp=by.second + end)


def _body(change: Callable[[bytes], bytes]) -> Forge:
    return lambda by, good: by.signed(replace(good, body=change(good.body)))


def _call(**changes: Any) -> Forge:
    return lambda by, _: by.letter(FORECAST, by.elsewhere(**changes))


AT_EACH_CALL: dict[str, tuple[str, tuple[str, ...], Forge]] = {
    "no-token-401": ("1", UNPROVED, lambda by, good: replace(good, token=None)),
    "unknown-key-401": ("1", UNPROVED, lambda by, good: by.signed(good, PrivateKey.generate())),
    "bad-signature-401": ("1", UNPROVED, _bad_signature),
    "wrong-audience-403": ("1", ("Forbidden",), lambda by, good: by.signed(good, aud=by.validator.hotkey)),
    "expired-token": ("1", ("TokenExpired",), _times(-300, -240)),
    "body-digest": ("1", UNPROVED, lambda by, good: replace(good, body=good.body + b" ")),
    "replayed-jti": ("1", ("Replayed",), lambda by, good: good),
    "too-large-413": ("2.2", ("TooLarge",), _too_large),
    "media-type-415": ("2.2", ("NotAcceptable",), lambda by, good: replace(good, media_type="text/plain")),
    "unknown-member": ("0", MALFORMED, _body(_unknown_member)),
}
AT_CALL_2: dict[str, tuple[str, tuple[str, ...], Forge]] = {
    "no-jws-401": ("1", UNPROVED, lambda by, good: replace(good, token="weather")),
    "large-token-401": ("1", UNPROVED, lambda by, good: replace(good, token="a" * 4097)),
    "alg-none-401": ("1", UNPROVED, _alg_none),
    "other-typ-401": ("1", UNPROVED, lambda by, good: by.signed(good, typ=ANSWER)),
    "other-issuer-401": ("1", UNPROVED, _claims(iss="0" * 64)),
    "long-life-401": ("1", UNPROVED, _times(0, 600)),
    "future-token": ("1", ("TokenExpired",), _times(300, 360)),
    "other-path-401": ("1", UNPROVED, _claims(path="/elsewhere")),
    "other-method-401": ("1", UNPROVED, _claims(method="GET")),
    "other-nonce": ("1", (*UNPROVED, *MALFORMED), lambda by, good: by.signed(good, jti=str(uuid4()))),
    "unknown-claim-401": ("1", UNPROVED, _claims(scope="all")),
    "missing-claim-401": ("1", UNPROVED, _claims(exp=None)),
    "not-json": ("0", MALFORMED, _body(lambda body: b"rain")),
    "duplicate-member": ("0", MALFORMED, _body(lambda body: body.replace(b"{", b'{"nonce": "", ', 1))),
    "missing-member": ("0", MALFORMED, _body(lambda body: body.replace(b'"data"', b'"date"', 1))),
    "other-input-hash": ("2.3", MALFORMED, _call(input_data_hash="0" * 64)),
    "other-purpose": ("2.3", MALFORMED, _call(purpose="live")),
    "unsupported-layout": ("2.3", UNSUPPORTED, _call(layout_digest="0" * 64)),
    "unsupported-grid": ("2.3", UNSUPPORTED, _call(grid="no-such-grid")),
    "unsupported-steps": ("2.3", UNSUPPORTED, _call(inference_steps=1)),
    "other-network": ("2.1", (*UNSUPPORTED, "Forbidden"), _call(network="no-such-network")),
}


def refusals(subject: str, path: str, needs: str, data: GoodData) -> Iterator[Check]:
    """The forgeries at one call: at calls 4 and 5 those that tell whether they stand behind the gate of call 2."""
    for name, (paragraph, codes, forge) in (AT_EACH_CALL | (AT_CALL_2 if path == FORECAST else {})).items():
        says = " or ".join(f"{PROBLEMS[code][0]} {code}" for code in codes)
        yield Check(f"{subject}.{name}", paragraph, says, _refused(path, data, forge, codes), (needs,))


def _refused(path: str, data: GoodData, forge: Forge, codes: tuple[str, ...]) -> Callable[[Bench, Any], Any]:
    async def check(bench: Bench, learnt: Any) -> None:
        good = bench.letter(path, data(bench, learnt))
        forged = forge(bench, good)
        if forged is good:
            await bench.post(good)
        (await bench.post(forged)).refused(*codes)

    return check
