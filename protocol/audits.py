"""Retention audits: when they happen and what they read, from a secret that is drawn late and revealed at the close."""

from __future__ import annotations

import hashlib
import hmac
import struct
from dataclasses import dataclass
from datetime import datetime, timedelta

from protocol.canonical import digest, tag

AUDITS_PER_RUN = 4
SAMPLES_PER_AUDIT = 8
FAILED_AUDITS_THAT_SETTLE = 2
SECRET_BYTES = 32


class AuditSecret:
    """Secret bytes that no text shows."""

    def __init__(self, raw: bytes) -> None:
        """Refuse any other length than 32."""
        if len(raw) != SECRET_BYTES:
            raise ValueError(f"an audit secret has {SECRET_BYTES} bytes, found {len(raw)}")
        self.raw = raw

    @property
    def digest(self) -> str:
        """What is published at the seal."""
        return digest("audit-secret", self.raw)

    def __repr__(self) -> str:
        """Nothing of it."""
        return "***"


@dataclass(frozen=True)
class AuditPlan:
    """All audits of one commitment; anyone can recompute it once the secret is revealed."""

    secret: AuditSecret
    hotkey: str
    commitment_digest: str

    def number(self, audit: int, sample: int) -> int:
        """x(k, j): 64 bits for audit k; sample 0 is its instant."""
        subject = bytes.fromhex(self.hotkey) + bytes.fromhex(self.commitment_digest)
        message = tag("audit") + subject + struct.pack(">II", audit, sample)
        return int.from_bytes(hmac.digest(self.secret.raw, message, hashlib.sha256)[:8])

    def instant(self, audit: int, sealed_at: datetime, last_valid_time: datetime) -> datetime:
        """When an audit happens: between the seal and the valid time of the last scored lead, in whole microseconds."""
        span = (last_valid_time - sealed_at) // timedelta(microseconds=1)
        return sealed_at + timedelta(microseconds=self.number(audit, 0) * span >> 64)

    def objects(self, audit: int, object_count: int) -> tuple[int, ...]:
        """Places in the manifest of the objects that an audit reads; one may come twice."""
        return tuple(self.number(audit, sample) % object_count for sample in range(1, SAMPLES_PER_AUDIT + 1))
