"""Ed25519 identities: a private key of 32 bytes, a hotkey in hex."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_HOTKEY = re.compile(r"[0-9a-f]{64}")
_P = 2**255 - 19
_D = -121665 * pow(121666, -1, _P) % _P


class PrivateKey:
    """A private key that shows its hotkey and nothing else."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.hotkey = key.public_key().public_bytes_raw().hex()

    @classmethod
    def generate(cls) -> PrivateKey:
        """A key from the operating system's randomness."""
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def from_bytes(cls, raw: bytes) -> PrivateKey:
        """The key of 32 raw bytes; ValueError for any other number."""
        return cls(Ed25519PrivateKey.from_private_bytes(raw))

    @classmethod
    def load(cls, path: Path) -> PrivateKey:
        """Read a key file; ValueError if others may read or write it, or if it does not hold 32 bytes."""
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & 0o077:
            raise ValueError(f"key file {path.name} has mode {mode:04o}, expected 0600")
        return cls.from_bytes(path.read_bytes())

    @classmethod
    def kept(cls, path: Path) -> PrivateKey:
        """As `load`; a new key is saved first if there is no file."""
        if not path.exists():
            cls.generate().save(path)
        return cls.load(path)

    def save(self, path: Path) -> None:
        """Write a new key file of mode 0600; FileExistsError, since a key is never overwritten."""
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(self._key.private_bytes_raw())

    def sign(self, message: bytes) -> bytes:
        """Ed25519 signature of 64 bytes."""
        return self._key.sign(message)

    def derive(self, purpose: bytes) -> bytes:
        """A symmetric key of 32 bytes for one purpose, which does not lead back to this key.

        Source:
            Krawczyk and Eronen (2010), HKDF, RFC 5869, with SHA-256 and no salt.
        """
        return HKDF(SHA256(), 32, None, purpose).derive(self._key.private_bytes_raw())


def signature_holds(hotkey: str, message: bytes, signature: bytes) -> bool:
    """Whether the signature is that of the hotkey over the message; a malformed hotkey holds nothing."""
    if not _HOTKEY.fullmatch(hotkey):
        return False
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(hotkey)).verify(signature, message)
    except InvalidSignature:
        return False
    return True


def require_hotkey(hotkey: str) -> str:
    """Return a hotkey that may be registered.

    Raises:
        ValueError: not 64 lower-case hex digits, not the one encoding of a point of the curve, or of small order.

    Source:
        RFC 8032, sections 5.1 and 5.1.3 (the curve, decoding).
    """
    if not _HOTKEY.fullmatch(hotkey):
        raise ValueError(f"hotkey {hotkey[:80]!r} is not 64 lower-case hex digits")
    y = int.from_bytes(bytes.fromhex(hotkey), "little") & (2**255 - 1)
    numerator, denominator = (y * y - 1) % _P, (_D * y * y + 1) % _P
    if y >= _P or pow(numerator * denominator, (_P - 1) // 2, _P) > 1:
        raise ValueError(f"hotkey {hotkey} is not a canonical point of the curve")
    if _eightfold(y) == 1:
        raise ValueError(f"hotkey {hotkey} is of small order")
    return hotkey


def _eightfold(y: int) -> int:
    """The y of eight times the point with this y: three doublings, which need x only as its square."""
    for _ in range(3):
        y2 = y * y
        x2 = (y2 - 1) * pow(_D * y2 + 1, -1, _P)
        y = (y2 + x2) * pow(2 + x2 - y2, -1, _P) % _P
    return y
