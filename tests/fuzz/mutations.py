"""Bytes that a hostile peer may send: a good document or stream, changed where it hurts."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

DEEP = 10_000
WORDS = [
    b"",
    b"\0",
    b"\xff" * 8,
    b"\0" * 8,
    b"\x7f\xff\xff\xff",
    b"1e999",
    b"NaN",
    b"\xed\xa0\x80",
    b'"',
    b"{",
    b"[",
    b"\n",
]

HOSTILE_JSON = {
    "nothing": b"",
    "spaces": b" " * 100_000,
    "null": b"null",
    "a list 10,000 deep": b"[" * DEEP + b"]" * DEEP,
    "an object 10,000 deep": b'{"a":' * DEEP + b"1" + b"}" * DEEP,
    "an open list 300,000 deep": b"[" * 300_000,
    "duplicate members": b'{"status":"stored","status":"error"}',
    "a member twice in 10,000": b"{" + b",".join(b'"a%d":0' % (number % 9_999) for number in range(10_000)) + b"}",
    "NaN": b'{"job_id":NaN}',
    "-Infinity": b"[-Infinity]",
    "a float beyond all": b'{"iat":1e999}',
    "an integer of 5,000 digits": b'{"iat":' + b"9" * 5_000 + b"}",
    "an integer of 4,299 digits": b'{"iat":-' + b"9" * 4_299 + b"}",
    "an integer of 300,000 digits": b"1" * 300_000,
    "a lone surrogate, escaped": b'{"job_id":"\\ud800","\\udfff":0}',
    "a lone surrogate, raw": b'{"job_id":"\xed\xa0\x80"}',
    "NUL": b'{"job_id":"\\u0000\0"}',
    "byte order mark": b"\xef\xbb\xbf{}",
    "UTF-16": '{"status":"stored"}'.encode("utf-16"),
    "a long string": b'"' + b"x" * 300_000 + b'"',
}

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([2**53 - 1, 2**53, 2**63, -(2**63), 10**30, -1, 0, 1.0, -0.0, 1e308, float("nan"), float("inf")]),
    st.text(max_size=40),
    st.sampled_from(
        ["", "\0", "\ud800", "é" * 300, "x" * 5_000, "٣" * 64, "0" * 64, "9999-12-31T23:59:59Z", "[", "\n"]
    ),
)
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner))


def _places(value: Any) -> list[tuple[Any, Any]]:
    """(container, key) of every member and element."""
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    return [(value, key) for key in keys] + [place for key in keys for place in _places(value[key])]


def _replace(draw: Callable[[Any], Any], container: Any, key: Any) -> None:
    container[key] = draw(values)


def _remove(draw: Callable[[Any], Any], container: Any, key: Any) -> None:
    del container[key]


def _wrap(draw: Callable[[Any], Any], container: Any, key: Any) -> None:
    for _ in range(draw(st.sampled_from([1, 5, 50, 200]))):
        container[key] = [container[key]]


def _repeat(draw: Callable[[Any], Any], container: Any, key: Any) -> None:
    if isinstance(container, list):
        container.insert(key, container[key])
    else:
        container[draw(st.text(max_size=20))] = container[key]


def _nudge(draw: Callable[[Any], Any], container: Any, key: Any) -> None:
    old = container[key]
    if isinstance(old, str):
        position = draw(st.integers(0, len(old)))
        container[key] = old[:position] + draw(st.text(max_size=2)) + old[position + 1 :]
    elif isinstance(old, int):
        container[key] = old + draw(st.integers(-2, 2) | st.integers())


_CHANGES = [_replace, _remove, _wrap, _repeat, _nudge]


@st.composite
def changed_values(draw: Any, seed: Any, most: int = 3) -> Any:
    """The JSON value with up to `most` members changed."""
    value = json.loads(json.dumps(seed))
    for _ in range(draw(st.integers(0, most))):
        if places := _places(value):
            container, key = draw(st.sampled_from(places))
            draw(st.sampled_from(_CHANGES))(draw, container, key)
    return value


def _flip(draw: Callable[[Any], Any], body: bytearray, start: int, end: int) -> None:
    if start < len(body):
        body[start] ^= 1 << draw(st.integers(0, 7))


def _cut(draw: Callable[[Any], Any], body: bytearray, start: int, end: int) -> None:
    del body[start:end]


def _insert(draw: Callable[[Any], Any], body: bytearray, start: int, end: int) -> None:
    body[start:end] = draw(st.sampled_from(WORDS) | st.binary(max_size=12))


def _double(draw: Callable[[Any], Any], body: bytearray, start: int, end: int) -> None:
    body[start:start] = body[start:end] * draw(st.integers(1, 40))


def _end(draw: Callable[[Any], Any], body: bytearray, start: int, end: int) -> None:
    del body[start:]


_EDITS = [_flip, _cut, _insert, _double, _end]


@st.composite
def changed_bytes(draw: Any, seed: bytes, most: int = 3) -> bytes:
    """The bytes with up to `most` edits: flips, cuts, insertions, parts doubled or overwritten."""
    body = bytearray(seed)
    for _ in range(draw(st.integers(0, most))):
        start = draw(st.integers(0, len(body)))
        end = min(len(body), start + draw(st.integers(0, 12)))
        draw(st.sampled_from(_EDITS))(draw, body, start, end)
    return bytes(body)


@st.composite
def changed_json(draw: Any, seed: Any) -> bytes:
    """The document changed as a value, then written in some layout, then changed as bytes."""
    value = draw(changed_values(seed))
    separators = draw(st.sampled_from([(",", ":"), (", ", ": ")]))
    body = json.dumps(value, separators=separators, sort_keys=draw(st.booleans())).encode()
    return draw(st.just(body) | changed_bytes(body, 2))
