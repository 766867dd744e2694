"""Tagged digests and signatures, over canonical JSON."""

from __future__ import annotations

import hashlib
import re
from typing import Literal

from protocol.identity import PrivateKey, signature_holds
from protocol.names import PROTOCOL
from weather.canonical import MAX_INTEGER as MAX_INTEGER
from weather.canonical import J as J
from weather.canonical import load_json_strict as load_json_strict

Label = Literal[
    "call",
    "inputs",
    "layout",
    "roster",
    "object",
    "commitment",
    "receipt",
    "log-entry",
    "tree-head",
    "audit-secret",
    "audit",
]

_SIGNATURE = re.compile(r"[0-9a-f]{128}")


def tag(label: Label) -> bytes:
    """Prefix that keeps the uses of a digest or a key apart."""
    return f"{PROTOCOL}/{label}".encode() + b"\0"


def digest(label: Label, body: bytes) -> str:
    """SHA-256 in hex over tag and body."""
    return hashlib.sha256(tag(label) + body).hexdigest()


def sign(key: PrivateKey, label: Label, body: bytes) -> str:
    """Ed25519 signature in hex over tag and body."""
    return key.sign(tag(label) + body).hex()


def verify(hotkey: str, label: Label, body: bytes, signature: str) -> bool:
    """Whether the signature in hex is that of the hotkey over tag and body."""
    return bool(_SIGNATURE.fullmatch(signature)) and signature_holds(
        hotkey, tag(label) + body, bytes.fromhex(signature)
    )
