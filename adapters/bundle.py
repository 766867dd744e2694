"""Writing a round bundle from the ledger."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from adapters.catalog import Catalog
from adapters.ledger import log
from adapters.ledger.commitments import commitments_of
from adapters.ledger.facts import facts_of, faults_of
from adapters.ledger.roster import roster_of
from adapters.ledger.runs import get_run
from adapters.ledger.tables.commitments import LogLeafRow
from adapters.ledger.tables.runs import ForecastRunRow
from adapters.ledger.tables.scores import GroupScoreRow, LeadScoreRow, RoundScoreRow
from adapters.ledger.tables.weights import WeightVectorRoundRow, WeightVectorRow
from adapters.ledger.weights import with_scores
from adapters.object_store import ObjectStore
from protocol.bundle import RoundBundle
from protocol.deadline import in_time
from protocol.dossier import RunLog
from protocol.facts import fact_document, fault_document, in_force
from protocol.identity import PrivateKey
from protocol.messages import ForecastRequestData
from protocol.receipt import TreeHead, sign_tree_head
from protocol.registry import RosterEntry
from protocol.weight_inputs import WeightInputs
from weather.faults import PrerequisiteMissing
from weather.weights.window import RoundState


@dataclass(frozen=True)
class Archive:
    """Where a bundle is written from; the key signs the head of the log as it is now."""

    session: Session
    store: ObjectStore
    catalog: Catalog
    key: PrivateKey
    now: datetime


# long: the members of a bundle
def write_bundle(path: Path, archive: Archive, run_id: str) -> RoundBundle:
    """Write the file of a closed round.

    Raises:
        PrerequisiteMissing: the run is not closed, or closed void.
    """
    run, session = get_run(archive.session, run_id), archive.session
    if run is None or run.outcome not in ("closed", "closed_partial") or run.call_document is None:
        raise PrerequisiteMissing("only a round that closed with scores has a bundle", found=run and run.outcome)
    deadline = run.commit_deadline
    assert deadline is not None
    entries = [
        RosterEntry(**{name: getattr(row, name) for name in RosterEntry.model_fields})
        for row in roster_of(session, run_id)
    ]
    accepted = [one for one in commitments_of(session, run_id) if in_time(one.received_at, deadline)]
    bundle = RoundBundle.of_value(
        {
            "document": "barograph/round-bundle/1",
            "run_id": run_id,
            "log": _log(archive, run),
            "call": ForecastRequestData.parse(archive.store.get(run.call_document)).value,
            "roster": [entry.value for entry in entries],
            "score_spec": json.loads(archive.catalog.pinned_rules(run.grid, run.score_spec_digest).canonical),
            "commitments": sorted(one.commitment_digest for one in accepted),
            "facts": [json.loads(fact_document(fact)) for fact in in_force(facts_of(session, run_id))],
            "faults": [json.loads(fault_document(fault)) for fault in faults_of(session, run_id)],
            "outcome": run.outcome,
            "reason": run.outcome_reason,
            "coverage": run.coverage,
            "scores": _rows(session, run_id, RoundScoreRow.hotkey, RoundScoreRow.score_nano, RoundScoreRow.rank),
            "groups": _rows(session, run_id, GroupScoreRow.hotkey, GroupScoreRow.group_name, GroupScoreRow.score_nano),
            "leads": _rows(session, run_id, LeadScoreRow.hotkey, LeadScoreRow.lead_hours, LeadScoreRow.score_nano),
            "vectors": _vectors(session, run_id),
        }
    )
    path.write_bytes(bundle.canonical)
    return bundle


def _log(archive: Archive, run: ForecastRunRow) -> dict[str, Any]:
    """The run's own leaves under a head of now."""
    size, root = log.size_and_root(archive.session)
    head = TreeHead(
        network=run.network, validator=archive.key.hotkey, tree_size=size, root_hash=root, recorded_at=archive.now
    )
    mine = select(LogLeafRow).where(LogLeafRow.run_id == run.run_id, LogLeafRow.kind != "commitment")
    leaves = [
        {
            "leaf_index": leaf.leaf_index,
            "entry": leaf.entry,
            "inclusion_proof": log.inclusion_proof(archive.session, leaf.leaf_index, size),
        }
        for leaf in archive.session.scalars(mine.order_by(LogLeafRow.leaf_index))
    ]
    signed = {"tree_head": head.value, "tree_head_signature": sign_tree_head(archive.key, head)}
    return RunLog.of_value({**signed, "consistency_proof": [], "leaves": leaves}).value


def _rows(session: Session, run_id: str, *columns: Any) -> list[list[Any]]:
    chosen = select(*columns).where(columns[0].class_.run_id == run_id)
    return sorted(list(row) for row in session.execute(chosen))


def _vectors(session: Session, run_id: str) -> list[dict[str, Any]]:
    """Each vector that the round took part in, with the scores of its window."""
    names = (WeightVectorRow.network, WeightVectorRow.input_digest)
    joined = (WeightVectorRoundRow.network == names[0]) & (WeightVectorRoundRow.input_digest == names[1])
    chosen = select(WeightVectorRow).join(WeightVectorRoundRow, joined).where(WeightVectorRoundRow.run_id == run_id)
    return [
        {
            "input_digest": vector.input_digest,
            "inputs": vector.inputs,
            "rounds": [_told(state) for state in _window(session, WeightInputs.of_value(vector.inputs))],
            "shares": vector.shares,
        }
        for vector in session.scalars(chosen.order_by(WeightVectorRow.computed_at, WeightVectorRow.input_digest))
    ]


def _window(session: Session, inputs: WeightInputs) -> tuple[RoundState, ...]:
    states = [
        RoundState(each.serial, each.run_id, each.outcome, Fraction(1), 0, group_weights={}, scores={}, totals={})
        for each in inputs.rounds
    ]
    return with_scores(session, states)


def _told(state: RoundState) -> dict[str, Any]:
    """What the digest of a round is made of."""
    told = {name: getattr(state, name) for name in ("serial", "run_id", "outcome", "totals", "group_weights")}
    return told | {"scores": {hotkey: dict(parts) for hotkey, parts in state.scores.items()}}
