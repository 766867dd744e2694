"""Compact JWS with one algorithm and one header, by hand: libraries accept more than the protocol does."""

from __future__ import annotations

import base64
from dataclasses import dataclass

from protocol.canonical import J, load_json_strict
from protocol.identity import PrivateKey, signature_holds

ALGORITHM = "EdDSA"
MAX_TOKEN_BYTES = 4_096


@dataclass(frozen=True)
class Jws:
    """A token whose header holds and whose signature is not verified yet."""

    kid: str
    payload: bytes
    signed: bytes
    signature: bytes

    def holds(self) -> bool:
        """Whether the key that the header names signed it."""
        return signature_holds(self.kid, self.signed, self.signature)


def seal(key: PrivateKey, typ: str, payload: bytes) -> str:
    """The compact token."""
    header = J({"alg": ALGORITHM, "typ": typ, "kid": key.hotkey})
    signed = b".".join((_encode(header), _encode(payload)))
    return b".".join((signed, _encode(key.sign(signed)))).decode()


def unseal(token: str, typ: str) -> Jws:
    """Take a token apart; ValueError if not three canonical parts under the one header {alg, typ, kid}, or too long."""
    if len(token) > MAX_TOKEN_BYTES:
        raise ValueError(f"token of {len(token)} characters, at most {MAX_TOKEN_BYTES} are accepted")
    parts = token.encode("ascii").split(b".")
    if len(parts) != 3:
        raise ValueError(f"token of {len(parts)} parts, not 3")
    header, payload, signature = map(_decode, parts)
    members = load_json_strict(header, MAX_TOKEN_BYTES)
    if not isinstance(members, dict) or members.keys() != {"alg", "typ", "kid"} or members["alg"] != ALGORITHM:
        raise ValueError("token header is not {alg: EdDSA, typ, kid}")
    if members["typ"] != typ or not isinstance(members["kid"], str):
        raise ValueError(f"token is not of type {typ}")
    return Jws(members["kid"], payload, b".".join(parts[:2]), signature)


def _encode(raw: bytes) -> bytes:
    return base64.urlsafe_b64encode(raw).rstrip(b"=")


def _decode(part: bytes) -> bytes:
    raw = base64.urlsafe_b64decode(part + b"=" * (-len(part) % 4))
    if _encode(raw) != part:
        raise ValueError("token part is not canonical base64url")
    return raw
