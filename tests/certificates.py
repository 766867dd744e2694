"""Certificates of one's own, for TLS over loopback."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

DAY = timedelta(days=1)


@dataclass(frozen=True)
class Certificate:
    """PEM file of certificate and key, and what a registry pins."""

    file: Path
    sha256: str


def certificate(file: Path, *, ends: timedelta = DAY) -> Certificate:
    """Self-signed for a name that nobody asks for, valid from the day before yesterday."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "another.test")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    signed = builder.not_valid_before(now - 2 * DAY).not_valid_after(now + ends).sign(key, SHA256())
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file.write_bytes(signed.public_bytes(Encoding.PEM) + private)
    return Certificate(file, hashlib.sha256(signed.public_bytes(Encoding.DER)).hexdigest())
