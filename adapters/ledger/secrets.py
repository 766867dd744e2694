"""The secret of a run's audits: drawn once from the operating system, readable with the validator's key only."""

from __future__ import annotations

import logging
import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from sqlalchemy.orm import Session

from adapters.ledger.rows import insert_if_absent
from adapters.ledger.tables.commitments import SecretRow
from protocol.audits import SECRET_BYTES, AuditSecret
from protocol.identity import PrivateKey

AUDIT = "audit"
NONCE_BYTES = 12

log = logging.getLogger("barograph.secrets")


def draw_secret(session: Session, key: PrivateKey, run_id: str) -> str:
    """The digest of the run's secret; the first one drawn stands."""
    drawn, nonce = AuditSecret(secrets.token_bytes(SECRET_BYTES)), secrets.token_bytes(NONCE_BYTES)
    sealed = nonce + _cipher(key).encrypt(nonce, drawn.raw, _bound_to(run_id))
    row = SecretRow(run_id=run_id, purpose=AUDIT, sealed=sealed.hex(), digest=drawn.digest)
    return insert_if_absent(session, row)[0].digest


def secret_of(session: Session, key: PrivateKey, run_id: str) -> AuditSecret | None:
    """The run's secret; None if none was drawn, or if it is lost because it was drawn with another key."""
    row = session.get(SecretRow, (run_id, AUDIT))
    if row is None:
        return None
    sealed = bytes.fromhex(row.sealed)
    nonce, text = sealed[:NONCE_BYTES], sealed[NONCE_BYTES:]
    try:
        return AuditSecret(_cipher(key).decrypt(nonce, text, _bound_to(run_id)))
    except InvalidTag:
        log.error("the %s secret of %s is lost: it was drawn with another key", AUDIT, run_id)
        return None


def _cipher(key: PrivateKey) -> ChaCha20Poly1305:
    return ChaCha20Poly1305(key.derive(b"barograph ledger secrets"))


def _bound_to(run_id: str) -> bytes:
    return f"{run_id}|{AUDIT}".encode()
