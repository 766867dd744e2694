"""Making the dossier of one miner in one closed run out of ledger and object store."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TypeVar

from sqlalchemy import select
from sqlalchemy.orm import Session

from adapters.catalog import Catalog
from adapters.clock import Clock
from adapters.dossier_file import write_archive
from adapters.ledger import log
from adapters.ledger.commitments import commitment_of, head_of
from adapters.ledger.facts import facts_of, faults_of, run_record
from adapters.ledger.runs import get_run
from adapters.ledger.tables.commitments import CommitmentRow, LogLeafRow, ReceiptRow
from adapters.ledger.tables.runs import ForecastRunRow, MinerResponseRow
from adapters.ledger.tables.scores import LeadScoreRow, RoundScoreRow
from adapters.ledger.values import FaultRecord, RecordedCommitment, ScoreFact
from adapters.object_store import ObjectStore
from protocol.dossier import REFUSALS, FactDocument, FaultDocument, Index, Proved, RunClosing, RunLog, VoidCase
from protocol.facts import fact_document, fault_document, in_force
from protocol.identity import PrivateKey
from protocol.layout import Layout
from protocol.log import SignedHead
from protocol.manifest import Manifest
from protocol.merkle import leaf_hash, subset_proof
from protocol.messages import CommitmentData
from weather.faults import ConfigurationInvalid, LedgerConflict, PrerequisiteMissing
from weather.round_score import decide_close
from weather.score_spec import GATE

D = TypeVar("D", FactDocument, FaultDocument)
Objects = dict[str, Callable[[], bytes]]


@dataclass(frozen=True)
class Origin:
    """Ledger, store and rules of a validator, and whose dossier is made; who holds the hotkey can sign a head."""

    session: Session
    store: ObjectStore
    catalog: Catalog
    run_id: str
    hotkey: str
    key: PrivateKey | None = None

    @cached_property
    def run(self) -> ForecastRunRow:
        run = get_run(self.session, self.run_id)
        if run is None or run.outcome not in ("closed", "closed_partial"):
            found = "no such run" if run is None else run.outcome or run.status
            raise PrerequisiteMissing(f"{self.run_id} has no scores to prove", found=found, expected="a closed run")
        return run

    @cached_property
    def stored(self) -> RecordedCommitment:
        stored = commitment_of(self.session, self.run_id, self.hotkey)
        if stored is None:
            raise ConfigurationInvalid(f"{self.hotkey} has no commitment in {self.run_id}: there is nothing to prove")
        return stored

    @cached_property
    def layout(self) -> Layout:
        return self.catalog.pinned_layout(self.run.grid, self.run.layout_digest)

    @cached_property
    def facts(self) -> list[ScoreFact]:
        return in_force(facts_of(self.session, self.run_id))

    @cached_property
    def own_facts(self) -> list[ScoreFact]:
        return [fact for fact in self.facts if fact.hotkey == self.hotkey]

    @cached_property
    def faults(self) -> list[FaultRecord]:
        return sorted(faults_of(self.session, self.run_id), key=fault_document)

    @cached_property
    def manifest(self) -> bytes | None:
        """As the miner served it; none if no manifest held."""
        response = self.session.get(MinerResponseRow, (self.run_id, self.hotkey))
        if response is None or response.manifest_digest is None:
            return None
        verified = json.loads(self.store.get(response.manifest_digest))
        return self.store.get(verified["manifest"]["sha256"])


def write_dossier(path: Path, origin: Origin) -> str:
    """Write the file; answers its SHA-256.

    Raises:
        PrerequisiteMissing: the run is not closed, or closed void.
        ConfigurationInvalid: the miner has no commitment.
        LedgerConflict: the ledger holds other facts or faults than those of the close.
    """
    documents = _documents(origin)
    digests = {role: hashlib.sha256(body).hexdigest() for role, body in documents.items()}
    index = Index.of_value({"document": "barograph/dossier/1", "manifest": None, **digests})
    objects: Objects = {digests[role]: partial(bytes, body) for role, body in documents.items()}
    return write_archive(path, index.canonical, objects | _bytes_of_forecast(origin) | _fields(origin))


def _documents(origin: Origin) -> dict[str, bytes]:
    run, stored, run_log = origin.run, origin.stored, _log(origin)
    facts = _proved(
        Proved[FactDocument], [(fact.hotkey == origin.hotkey, fact_document(fact)) for fact in origin.facts]
    )
    faults = _proved(
        Proved[FaultDocument], [(_concerns(fault, origin), fault_document(fault)) for fault in origin.faults]
    )
    if (facts.root, faults.root) != (run.facts_digest, run.faults_digest):
        raise LedgerConflict(
            "facts or faults have changed since the close",
            found=(facts.root, faults.root),
            expected=(run.facts_digest, run.faults_digest),
        )
    documents = {
        "commitment": CommitmentData(commitment=stored.commitment.value, signature=stored.signature).canonical,
        "answer": stored.answer(run_log.commit_deadline).canonical,
        "log": run_log.canonical,
        "call": origin.store.get(run.call_document or ""),
        "layout": origin.layout.canonical,
        "score_spec": origin.catalog.pinned_rules(run.grid, run.score_spec_digest).canonical,
        "facts": facts.canonical,
        "faults": faults.canonical,
        "closing": _closing(origin).canonical,
    }
    return documents | ({"manifest": origin.manifest} if origin.manifest else {})


def run_leaves(session: Session, run_id: str) -> Sequence[LogLeafRow]:
    """What the log says of the run as a whole."""
    mine = select(LogLeafRow).where(LogLeafRow.run_id == run_id, LogLeafRow.kind != "commitment")
    return session.scalars(mine.order_by(LogLeafRow.leaf_index)).all()


def run_log(session: Session, leaves: Iterable[LogLeafRow], head: SignedHead, grown_from: int) -> RunLog:
    """The leaves as far as the head covers them, and that it grew from a smaller tree."""
    size = head.tree_head.tree_size
    return RunLog.of_value(
        {
            **head.value,
            "consistency_proof": log.consistency_proof(session, grown_from, size),
            "leaves": [
                {
                    "leaf_index": leaf.leaf_index,
                    "entry": leaf.entry,
                    "inclusion_proof": log.inclusion_proof(session, leaf.leaf_index, size),
                }
                for leaf in leaves
                if leaf.leaf_index < size
            ],
        }
    )


def _log(origin: Origin) -> RunLog:
    leaves = run_leaves(origin.session, origin.run_id)
    head = _head(origin, max(leaves[-1].leaf_index, origin.stored.leaf_index))
    return run_log(origin.session, leaves, head, origin.stored.head.tree_head.tree_size)


def _head(origin: Origin, last: int) -> SignedHead:
    """The first receipted head that covers a leaf, else one signed now, else the newest receipted one."""
    heads, index = select(ReceiptRow).join(CommitmentRow), CommitmentRow.leaf_index
    receipt = origin.session.scalars(heads.where(index >= last).order_by(index).limit(1)).first()
    if receipt is None and origin.key is not None:
        return log.signed_head(origin.session, origin.key, origin.run.network, Clock().now())
    receipt = receipt or origin.session.scalars(heads.order_by(index.desc()).limit(1)).one()
    return head_of(receipt)


def _proved(kind: type[Proved[D]], leaves: list[tuple[bool, bytes]]) -> Proved[D]:
    indices = [index for index, (chosen, _) in enumerate(leaves) if chosen]
    siblings = subset_proof([leaf_hash(body) for _, body in leaves], indices)
    return kind.of_value(
        {
            "tree_size": len(leaves),
            "indices": indices,
            "siblings": [sibling.hex() for sibling in siblings],
            "documents": [json.loads(leaves[index][1]) for index in indices],
        }
    )


def _closing(origin: Origin) -> RunClosing:
    run, rules = origin.run, origin.catalog.pinned_rules(origin.run.grid, origin.run.score_spec_digest)
    decision = decide_close(rules, run_record(origin.session, origin.run_id))
    mine = {"run_id": origin.run_id, "hotkey": origin.hotkey}
    total = origin.session.scalars(select(RoundScoreRow).filter_by(**mine)).one()
    leads = origin.session.scalars(select(LeadScoreRow).filter_by(**mine).order_by(LeadScoreRow.lead_hours))
    return RunClosing.model_validate(
        {
            **{name: getattr(run, name) for name in ("outcome", "coverage", "facts_digest", "faults_digest")},
            "score_nano": total.score_nano,
            "rank": total.rank,
            "lead_scores": tuple((lead.lead_hours, lead.score_nano) for lead in leads),
            "void": tuple(VoidCase(*case, code) for case, code in sorted(decision.void.items())),
        }
    )


def _bytes_of_forecast(origin: Origin) -> Objects:
    """Metadata, and the chunk of each field that was scored or refused for what it holds."""
    if origin.manifest is None:
        return {}
    manifest, layout = Manifest.of_value(json.loads(origin.manifest)), origin.layout
    refused = [fault for fault in origin.faults if fault.hotkey == origin.hotkey and fault.code in REFUSALS]
    scored = [fact for fact in origin.own_facts if fact.variable != GATE]
    cases = {(case.variable, case.level, case.lead_hours) for case in [*refused, *scored]}
    entries = [entry for entry in manifest.objects if entry.path.endswith("zarr.json")]
    entries += [manifest.entry(layout.chunk_path(*case)) for case in cases]
    return {entry.sha256: partial(origin.store.get, entry.sha256) for entry in entries}


def _fields(origin: Origin) -> Objects:
    """What the facts were scored against: fields, and for the gate documents of fields."""
    return {
        digest: partial(origin.store.get if fact.variable == GATE else partial(_values, origin, fact), digest)
        for fact in origin.own_facts
        for digest in (fact.truth_digest, fact.climatology_digest, *fact.reference_digests.values())
    }


def _values(origin: Origin, fact: ScoreFact, digest: str) -> bytes:
    grid = origin.layout.grid_value
    stored = origin.store.get_field(grid, fact.variable, fact.level, fact.valid_time, digest)
    return stored.values.astype("<f4", copy=False).tobytes()


def _concerns(fault: FaultRecord, origin: Origin) -> bool:
    return fault.hotkey == origin.hotkey or fault.effect == "V"
