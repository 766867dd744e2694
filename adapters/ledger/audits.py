"""What retention audits ask of the ledger: their secret, who committed in time, and which cases nothing has settled.

The secret of a run is drawn once from the operating system, and readable with the validator's key only.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Iterable
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from sqlalchemy import select
from sqlalchemy.orm import Session

from adapters.ledger.rows import insert_if_absent
from adapters.ledger.tables.commitments import CommitmentRow, SecretRow
from adapters.ledger.tables.runs import ForecastRunRow, MinerResponseRow
from adapters.ledger.tables.scores import ScoreFactRow
from protocol.audits import SECRET_BYTES, AuditSecret
from protocol.identity import PrivateKey

AUDIT = "audit"
NONCE_BYTES = 12

log = logging.getLogger("barograph.secrets")

FieldCase = tuple[int, str, int]


class Committed(NamedTuple):
    """A commitment in time; `store` is what was verified of it, once it was."""

    hotkey: str
    commitment_digest: str
    object_count: int
    store: str | None


def committed_in_time(session: Session, run_id: str) -> list[Committed]:
    """By leaf index."""
    same = (MinerResponseRow.run_id == CommitmentRow.run_id) & (MinerResponseRow.hotkey == CommitmentRow.hotkey)
    chosen = (
        select(CommitmentRow, MinerResponseRow.manifest_digest)
        .join(ForecastRunRow, ForecastRunRow.run_id == CommitmentRow.run_id)
        .outerjoin(MinerResponseRow, same)
        .where(CommitmentRow.run_id == run_id, CommitmentRow.received_at <= ForecastRunRow.commit_deadline)
        .order_by(CommitmentRow.leaf_index)
    )
    return [
        Committed(row.hotkey, row.commitment_digest, row.commitment["object_count"], store)
        for row, store in session.execute(chosen)
    ]


def without_score(session: Session, run_id: str, hotkey: str, cases: Iterable[FieldCase]) -> list[FieldCase]:
    """Those of the cases (lead in hours, variable, level) in which the miner has no final fact."""
    columns = (ScoreFactRow.lead_hours, ScoreFactRow.variable, ScoreFactRow.level)
    mine = (ScoreFactRow.run_id == run_id, ScoreFactRow.hotkey == hotkey, ScoreFactRow.pass_ == "era5_final")
    scored = {tuple(row) for row in session.execute(select(*columns).where(*mine))}
    return [case for case in cases if case not in scored]


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
