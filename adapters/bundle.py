"""Writing a round bundle from the ledger."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from adapters.catalog import Catalog
from adapters.dossier import run_leaves, run_log
from adapters.ledger import log
from adapters.ledger.commitments import commitments_of
from adapters.ledger.facts import facts_of, faults_of
from adapters.ledger.publications import shown
from adapters.ledger.roster import roster_of
from adapters.ledger.rows import columns_of, rows_of
from adapters.ledger.runs import get_run
from adapters.ledger.tables.commitments import AuditRow
from adapters.ledger.tables.runs import ForecastRunRow
from adapters.ledger.tables.scores import GroupScoreRow, LeadScoreRow, RoundScoreRow
from adapters.ledger.tables.weights import WeightVectorRoundRow, WeightVectorRow
from adapters.ledger.weights import frozen_rounds, with_scores
from adapters.object_store import ObjectStore
from protocol.audits import AuditPlan, AuditSecret
from protocol.bundle import RoundBundle, WindowRound
from protocol.deadline import in_time
from protocol.facts import fact_document, fault_document, in_force
from protocol.identity import PrivateKey
from protocol.messages import ForecastRequestData
from protocol.names import format_stamp
from protocol.weights import WeightInputs
from weather.faults import PrerequisiteMissing
from weather.weights.window import RoundState


@dataclass(frozen=True)
class Archive:
    """Where a bundle is written from; the key signs the head of the log as it is now.

    Weights that are not to be shown before the chain has revealed them are left out until then.
    """

    session: Session
    store: ObjectStore
    catalog: Catalog
    key: PrivateKey
    now: datetime
    after_reveal: bool = False


# long: the members of a bundle
def write_bundle(path: Path, archive: Archive, run_id: str) -> RoundBundle:
    """Write the file of a closed round.

    Raises:
        PrerequisiteMissing: the run is not closed, or closed void.
    """
    run, session = get_run(archive.session, run_id), archive.session
    if run is None or run.outcome not in ("closed", "closed_partial") or run.call_document is None:
        raise PrerequisiteMissing("only a round that closed with scores has a bundle", found=run and run.outcome)
    call, deadline = ForecastRequestData.parse(archive.store.get(run.call_document)), run.commit_deadline
    assert deadline is not None
    head = log.signed_head(session, archive.key, run.network, archive.now)
    entries, total, group, lead = roster_of(session, run_id), RoundScoreRow, GroupScoreRow, LeadScoreRow
    accepted = [one for one in commitments_of(session, run_id) if in_time(one.received_at, deadline)]
    bundle = RoundBundle.of_value(
        {
            "document": "barograph/round-bundle/1",
            "run_id": run_id,
            "log": run_log(session, run_leaves(session, run_id), head, head.tree_head.tree_size).value,
            "call": call.addressed_to(archive.key.hotkey).value,
            "roster": [entry.value for entry in entries],
            "score_spec": json.loads(archive.catalog.pinned_rules(run.grid, run.score_spec_digest).canonical),
            "commitments": [one.commitment.value for one in accepted],
            "audits": _audits(archive, run, {one.commitment.hotkey: one.commitment_digest for one in accepted}),
            "facts": [json.loads(fact_document(fact)) for fact in in_force(facts_of(session, run_id))],
            "faults": [json.loads(fault_document(fault)) for fault in faults_of(session, run_id)],
            "outcome": run.outcome,
            "reason": run.outcome_reason,
            "coverage": run.coverage,
            "scores": columns_of(session, run_id, total.hotkey, total.score_nano, total.rank),
            "groups": columns_of(session, run_id, group.hotkey, group.group_name, group.score_nano),
            "leads": columns_of(session, run_id, lead.hotkey, lead.lead_hours, lead.score_nano),
            "vectors": _vectors(session, run, shown(run.network, after_reveal=archive.after_reveal)),
        }
    )
    path.write_bytes(bundle.canonical)
    return bundle


def _audits(archive: Archive, run: ForecastRunRow, accepted: Mapping[str, str]) -> list[dict[str, Any]]:
    """All that ended, if the secret is revealed."""
    closed = log.entry_of(archive.session, run.run_id, "run_closed")
    if closed is None or closed["audit_secret"] is None:
        return []
    secret = AuditSecret(bytes.fromhex(closed["audit_secret"]))
    paths = archive.catalog.pinned_layout(run.grid, run.layout_digest).object_set()
    rows = rows_of(archive.session, AuditRow, run.run_id)
    return [_audit(row, AuditPlan(secret, row.hotkey, accepted[row.hotkey]), paths) for row in rows]


def _audit(row: AuditRow, plan: AuditPlan, paths: list[str]) -> dict[str, Any]:
    return {
        "hotkey": row.hotkey,
        "number": row.number,
        "due": format_stamp(row.due),
        "outcome": row.outcome,
        "objects": list(plan.objects(row.number, len(paths))),
        "failed": sorted({paths.index(fault["path"]) for fault in row.faults}),
    }


def _vectors(session: Session, run: ForecastRunRow, visible: ColumnElement[bool]) -> list[dict[str, Any]]:
    """Each vector that the round took part in with the scores of its close, with those of its window."""
    row, counted = WeightVectorRow, WeightVectorRoundRow
    chosen = select(row).join(counted).where(counted.run_id == run.run_id, visible)
    found = session.scalars(chosen.order_by(row.computed_at, row.input_digest))
    windows = ((vector, frozen_rounds(session, WeightInputs.of_value(vector.inputs))) for vector in found)
    return [
        {
            "input_digest": vector.input_digest,
            "inputs": vector.inputs,
            "rounds": [{name: getattr(state, name) for name in WindowRound.model_fields} for state in window],
            "shares": vector.shares,
        }
        for vector, window in windows
        if _is_as_closed(session, run.run_id, window)
    ]


def _is_as_closed(session: Session, run_id: str, window: Sequence[RoundState]) -> bool:
    return all(each in window for each in with_scores(session, window) if each.run_id == run_id)
