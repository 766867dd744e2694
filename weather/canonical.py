"""Canonical JSON, and the strict reading of it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import rfc8785

MAX_DEPTH = 8
MAX_INTEGER = 2**53 - 1

_PRINTABLE = re.compile(r"[ -~]*")


def J(value: object) -> bytes:
    """RFC 8785 bytes; ValueError for floats, integers above 2^53-1, text beyond printable ASCII, nesting above 8."""
    _require(value, MAX_DEPTH, signed=True)
    return rfc8785.dumps(value)  # ty: ignore[invalid-argument-type]


def load_json_strict(body: bytes, max_bytes: int, *, signed: bool = True, integer: Callable[[str], int] = int) -> Any:
    """Parse UTF-8 JSON of another party; ValueError if long, not strict, deep, or, if it is signed, not for `J`."""
    if len(body) > max_bytes:
        raise ValueError(f"{len(body)} bytes of JSON, at most {max_bytes} are accepted")
    try:
        value = json.loads(
            body.decode(), object_pairs_hook=_without_duplicates, parse_constant=_refuse, parse_int=integer
        )
    except RecursionError:
        raise ValueError(f"nesting above {MAX_DEPTH}") from None
    _require(value, MAX_DEPTH, signed)
    return value


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError(f"duplicate member among {[name[:80] for name, _ in pairs[:20]]}")
    return members


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _require(value: object, left: int, signed: bool) -> None:
    if not isinstance(value, dict | list | tuple):
        if signed and not _signable(value):
            raise ValueError(f"{str(value)[:80]!r} may not stand in a signed object")
        return
    if not left:
        raise ValueError(f"nesting above {MAX_DEPTH}")
    for part in [*value, *value.values()] if isinstance(value, dict) else value:
        _require(part, left - 1, signed)


def _signable(value: object) -> bool:
    if isinstance(value, str):
        return bool(_PRINTABLE.fullmatch(value))
    return value is None or (isinstance(value, int) and abs(value) <= MAX_INTEGER)
