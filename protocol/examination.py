"""A dossier is examined with two hotkeys and nothing else: each document is checked against those before it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from protocol.commitment import Commitment, first_broken
from protocol.deadline import in_time
from protocol.document import Document
from protocol.dossier import (
    INDEX,
    C,
    DossierBroken,
    FactDocument,
    FaultDocument,
    Index,
    Proved,
    RunClosing,
    RunLog,
    holding,
    require,
)
from protocol.facts import run_record
from protocol.layout import Layout
from protocol.manifest import Manifest
from protocol.messages import CommitmentData, ForecastRequestData
from protocol.receipt import CommitmentAnswer, growth_holds
from protocol.store import check_metadata
from weather.cases import GLOBAL, CaseKey
from weather.faults import CommitmentLate
from weather.field_sets import FieldEntry, field_set_document, set_digest
from weather.round_score import FaultScope, decide_close
from weather.score_spec import GATE, ScoreSpec

D = TypeVar("D", bound=Document)
Get = Callable[[str], bytes]


@dataclass(frozen=True)
class Evidence:
    """What a dossier says, all of it checked but the numbers of its facts."""

    miner: str
    commitment: Commitment
    answer: CommitmentAnswer
    log: RunLog
    call: ForecastRequestData
    layout: Layout
    rules: ScoreSpec
    manifest: Manifest | None
    facts: tuple[FactDocument, ...]
    faults: tuple[FaultDocument, ...]
    closing: RunClosing

    def valid_time(self, lead_hours: int) -> datetime:
        """Init time plus lead."""
        return self.commitment.init_time + timedelta(hours=lead_hours)

    def truth_sets(self) -> list[tuple[str, int, str, str]]:
        """Pass, lead, truth version and digest of each set of truth fields, to compare with other dossiers."""
        sets: dict[tuple[str, int, str], list[FieldEntry]] = {}
        for fact in self.facts:
            name, lead, variable, level, _ = fact.case
            if variable != GATE:
                shape = self.layout.grid_value.shape
                entry = FieldEntry(variable, level, self.valid_time(lead), shape, fact.truth_digest)
                sets.setdefault((name, lead, fact.truth_version), []).append(entry)
        documents = {key: field_set_document("truth", key[2], self.layout.grid, sets[key]) for key in sorted(sets)}
        return [(*key, set_digest(document)) for key, document in documents.items()]


# long: the order of the checks
def examine(index: bytes, get: Get, miner: str, validator: str) -> Evidence:
    """Check everything but the numbers of the facts.

    Args:
        index: bytes of `index.json`.
        get: an object by its digest, compared with it already.
        miner: hotkey whose dossier it must be.
        validator: hotkey that must have signed receipt and tree heads.

    Raises:
        DossierBroken: the first object that does not hold.
    """
    named = _parsed(INDEX, Index, index)
    with holding(INDEX):
        bodies = {role: get(digest) for role, digest in named.value.items() if role != "document" and digest}
    offer = _parsed("commitment", CommitmentData, bodies["commitment"])
    answer = _parsed("receipt", CommitmentAnswer, bodies["answer"])
    if broken := first_broken(offer, answer, miner, validator):
        raise DossierBroken(broken, "another value than its signer's", f"miner {miner}, validator {validator}")
    commitment = Commitment.of_value(offer.commitment)
    log = _log(bodies["log"], answer, validator)
    layout, rules = _rules(bodies, commitment)
    closing = _parsed("closing", RunClosing, bodies["closing"])
    evidence = Evidence(
        miner=miner,
        commitment=commitment,
        answer=answer,
        log=log,
        call=_call(bodies["call"], commitment, answer, log),
        layout=layout,
        rules=rules,
        manifest=_manifest(bodies.get("manifest"), get, commitment, layout),
        facts=_proved("facts", Proved[FactDocument], bodies["facts"], closing.facts_digest),
        faults=_proved("faults", Proved[FaultDocument], bodies["faults"], closing.faults_digest),
        closing=closing,
    )
    _check_scopes(evidence)
    _check_closing(evidence)
    return evidence


def _parsed(part: str, kind: type[D], body: bytes) -> D:
    with holding(part):
        document = kind.parse(body)
        require(part, body, document.canonical)
    return document


def _log(body: bytes, answer: CommitmentAnswer, validator: str) -> RunLog:
    log = _parsed("log", RunLog, body)
    head, entry = log.tree_head, answer.receipt.entry
    require("log: tree head", log.holds(entry.network, validator), True)
    require("log: consistency proof", growth_holds(answer.tree_head, head, log.consistency_proof), True)
    check_leaves(log, entry.network, entry.run_id)
    return log


def check_leaves(log: RunLog, network: str, run_id: str) -> None:
    """Refuse as DossierBroken the first leaf that is none of the run, or not in the tree of the head."""
    for leaf in log.leaves:
        part = f"log: {leaf.entry.kind}"
        require(part, (leaf.entry.network, leaf.entry.run_id), (network, run_id))
        require(part, log.tree_head.includes(leaf.entry, leaf.leaf_index, leaf.inclusion_proof), True)


def _call(body: bytes, commitment: Commitment, answer: CommitmentAnswer, log: RunLog) -> ForecastRequestData:
    call = _parsed("call", ForecastRequestData, body)
    with holding("log: run_opened"):
        opened, deadline = log.opened, log.commit_deadline
    require("call", call.call_digest, opened.call_digest)
    with holding("commitment"):
        commitment.check_binding(call, commitment.hotkey)
    require("receipt: in_time", answer.in_time, in_time(answer.receipt.entry.received_at, deadline))
    return call


def _rules(bodies: Mapping[str, bytes], commitment: Commitment) -> tuple[Layout, ScoreSpec]:
    layout = _parsed("layout", Layout, bodies["layout"])
    require("layout", layout.digest, commitment.layout_digest)
    with holding("score_spec"):
        rules = ScoreSpec.parse(bodies["score_spec"])
        require("score_spec", (rules.canonical, rules.digest), (bodies["score_spec"], commitment.score_spec_digest))
        rules.require_layout(layout.fields(), layout.lead_time_hours)
    return layout, rules


def _manifest(body: bytes | None, get: Get, commitment: Commitment, layout: Layout) -> Manifest | None:
    if body is None:
        return None
    with holding("manifest"):
        manifest = Manifest.read(body, commitment.job_id, commitment.object_count)
        manifest.check_against(commitment, layout)
    for entry in manifest.objects:
        if entry.path.endswith("zarr.json"):
            with holding(entry.path):
                check_metadata(entry.path, get(entry.sha256), layout, commitment)
    return manifest


def _proved(part: str, kind: type[Proved[C]], body: bytes, root: str) -> tuple[C, ...]:
    proved = _parsed(part, kind, body)
    with holding(part):
        require(part, proved.root, root)
    return proved.documents


def _check_scopes(evidence: Evidence) -> None:
    """Facts are this miner's under its rules, each case once; faults are its own or void for all; late is late."""
    run_id, miner = evidence.commitment.run_id, evidence.miner
    for fact in evidence.facts:
        expected = (run_id, miner, evidence.commitment.score_spec_digest, GLOBAL, True)
        found = (fact.run_id, fact.hotkey, fact.spec_digest, fact.region, evidence.answer.in_time)
        require(f"fact {fact}", found, expected)
    for fault in evidence.faults:
        mine, late = fault.hotkey == miner, fault.code == CommitmentLate.__name__
        found = (fault.run_id, mine or fault.effect == "V", mine and late and evidence.answer.in_time)
        require(f"fault {fault}", found, (run_id, True, False))
    require("facts: cases", len({fact.case for fact in evidence.facts}), len(evidence.facts))


def _check_closing(evidence: Evidence) -> None:
    """Score, leads and coverage follow from the facts and the void cases, and the log says the same if it does."""
    closing, closed, miner = evidence.closing, evidence.log.closed, evidence.miner
    if closed is not None:
        found, expected = (closing.facts_digest, closing.faults_digest), (closed.facts_digest, closed.faults_digest)
        require("closing", found, expected)
    void = {CaseKey(*case[:5]) for case in closing.void}
    scopes = [FaultScope("*", case, "V", "VoidedByOperator", sys.maxsize) for case in void]
    scopes += [fault.final for fault in evidence.faults if fault.effect == "W"]
    decision = decide_close(evidence.rules, run_record((miner,), (fact.scored for fact in evidence.facts), scopes))
    coverage = f"{decision.coverage.numerator}/{decision.coverage.denominator}"
    require("closing: void", set(decision.void), void)
    require("closing: outcome", (closing.outcome, closing.coverage), (decision.outcome, coverage))
    require("closing: score", closing.score_nano, decision.round_scores[miner])
    leads = tuple((lead, score) for (_, lead), score in sorted(decision.lead_scores.items()))
    require("closing: lead_scores", closing.lead_scores, leads)
