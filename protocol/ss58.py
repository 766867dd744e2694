"""A hotkey as the account of a chain."""

from __future__ import annotations

import hashlib

PREFIX = 42
_ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


def encode(hotkey: str) -> str:
    """SS58 of the same 32 bytes, with the prefix of no particular chain.

    Source:
        Parity Technologies, SS58 Address Format, https://docs.substrate.io/reference/address-formats/
    """
    body = bytes([PREFIX]) + bytes.fromhex(hotkey)
    number = int.from_bytes(body + hashlib.blake2b(b"SS58PRE" + body).digest()[:2], "big")
    digits = ""
    while number:
        number, digit = divmod(number, 58)
        digits = _ALPHABET[digit] + digits
    return digits
