"""What each miner of a run answered: a projection that only rises in rank."""

from __future__ import annotations

from sqlalchemy.orm import Session

from adapters.ledger import transitions
from adapters.ledger.events import Change, record_event
from adapters.ledger.roster import require_member
from adapters.ledger.runs import changed_run
from adapters.ledger.tables.runs import ForecastRunRow, MinerResponseRow
from adapters.ledger.values import ResponseStep
from protocol.names import miner_workflow_id

EVENTS = {
    "received": "forecast.requested",
    "verified_manifest_store_opened": "forecast.verified",
    "failed_manifest_verification": "forecast.rejected",
    "verification_error": "forecast.rejected",
}


def advance_response(session: Session, step: ResponseStep) -> MinerResponseRow:
    """Move one miner's row; a step that does not raise its rank writes nothing, and any answer implies `received`.

    Raises:
        LedgerConflict: the step raises the rank over an edge that is not legal, or the miner is not on the roster.
    """
    run = changed_run(session, step.run_id)
    require_member(session, step.run_id, step.hotkey)
    row = session.get(MinerResponseRow, (step.run_id, step.hotkey))
    if row is None and step.to not in transitions.RESPONSE[None]:
        row = advance_response(session, step.model_copy(update={"to": "received"}))
    if row is not None and not _writes(row.status, step.to):
        return row
    transitions.require(transitions.RESPONSE, f"miner {step.hotkey}", row.status if row else None, step.to)
    if row is None:
        row = MinerResponseRow(run_id=step.run_id, hotkey=step.hotkey, status_ordinal=0)
        session.add(row)
    _write(session, run, row, step)
    session.flush()
    return row


def verify_again(session: Session, step: ResponseStep) -> None:
    """Take a failed row back to its verification, as only an operator may."""
    run, row = changed_run(session, step.run_id), session.get_one(MinerResponseRow, (step.run_id, step.hotkey))
    transitions.require(transitions.RERUN, f"miner {step.hotkey}", row.status, step.to)
    _write(session, run, row, step)


def _writes(status: str, to: str) -> bool:
    ranks = transitions.RESPONSE_RANKS
    return ranks[to] > ranks[status] or to in transitions.RESPONSE[status] - transitions.RERUN.get(status, set())


def _write(session: Session, run: ForecastRunRow, row: MinerResponseRow, step: ResponseStep) -> None:
    row.status, row.status_ordinal, row.updated_at = step.to, row.status_ordinal + 1, step.at
    row.code, row.detail, row.found, row.expected = step.code, step.detail, step.found, step.expected
    row.input_data_hash = step.input_data_hash or row.input_data_hash
    row.manifest_digest = step.manifest_digest or row.manifest_digest
    kind, subject = EVENTS.get(step.to, "run.status_changed"), miner_workflow_id(step.run_id, step.hotkey)
    data = {"miner": step.hotkey, "status": step.to} | ({"code": step.code} if step.code else {})
    record_event(session, run, Change(kind, subject, str(row.status_ordinal), step.at, data))
