"""The log's entries of a run's seal and close, from what the ledger holds."""

from __future__ import annotations

from datetime import datetime

from adapters.ledger.tables.runs import ForecastRunRow
from adapters.ledger.values import RecordedCommitment
from protocol.audits import AuditSecret
from protocol.deadline import in_time
from protocol.receipt import RunClosed, RunSealed, commitments_digest


def sealed(run: ForecastRunRow, stored: list[RecordedCommitment], secret_digest: str, at: datetime) -> RunSealed:
    """Whose commitments count, and what binds the validator to its audits."""
    assert run.commit_deadline is not None
    accepted = [one.commitment_digest for one in stored if in_time(one.received_at, run.commit_deadline)]
    return RunSealed(
        network=run.network,
        run_id=run.run_id,
        commit_deadline=run.commit_deadline,
        accepted=len(accepted),
        commitments_digest=commitments_digest(accepted),
        audit_secret_hash=secret_digest,
        recorded_at=at,
    )


def closed(run: ForecastRunRow, secret: AuditSecret | None, at: datetime) -> RunClosed:
    """What the run was closed on; the secret is revealed, unless the run was never sealed."""
    assert run.facts_digest is not None and run.faults_digest is not None
    return RunClosed(
        network=run.network,
        run_id=run.run_id,
        outcome="void" if run.outcome == "void" else "scored",
        facts_digest=run.facts_digest,
        faults_digest=run.faults_digest,
        audit_secret=secret.raw.hex() if secret else None,
        recorded_at=at,
    )
