"""A round bundle: all facts and faults of a closed round, what was decided from them, and who was paid for it.

Checked without ledger, Temporal or network. Bytes of forecasts and truth are the business of dossiers.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Any, ClassVar, Literal

from protocol.audits import AuditSecret
from protocol.canonical import J
from protocol.document import Digest, Document, RunId
from protocol.dossier import LEVELS, RunLog, holding, require
from protocol.examination import check_leaves
from protocol.merkle import tree_hash
from protocol.messages import ForecastRequestData
from protocol.receipt import RunSealed, commitments_digest
from protocol.registry import Roster, RosterEntry
from protocol.run_record import Scored, run_record
from protocol.weight_inputs import CountedRound, WeightInputs
from weather.cases import CaseKey
from weather.ranking import ranking
from weather.round_score import Closing, FaultScope, RunRecord, decide_close
from weather.score_spec import ScoreSpec
from weather.weights.window import RoundState

Json = dict[str, Any]


class VectorProof(Document):
    """Weights that the round took part in, with the scores of their window."""

    input_digest: Digest
    inputs: Json
    rounds: list[Json]
    shares: list[tuple[str, int]]


class RoundBundle(Document):
    """Everything that follows from a closed round, and what it follows from; faults in the order of their finality."""

    max_bytes: ClassVar[int] = 1 << 30

    document: Literal["barograph/round-bundle/1"] = "barograph/round-bundle/1"
    run_id: RunId
    log: Json
    call: Json
    roster: list[Json]
    score_spec: Json
    commitments: list[Digest]
    facts: list[Json]
    faults: list[Json]
    outcome: str
    reason: str
    coverage: str
    scores: list[tuple[str, int, int]]
    groups: list[tuple[str, str, int]]
    leads: list[tuple[str, int, int]]
    vectors: list[VectorProof]


def lacking(body: bytes) -> list[str]:
    """Names of members that a bundle must have and these bytes do not."""
    with holding("bundle"):
        members = json.loads(body)
        return sorted(RoundBundle.model_fields.keys() - members.keys())


def verify_round(body: bytes, run_id: str, validator: str) -> RoundBundle:
    """Check a bundle that lacks nothing.

    Raises:
        DossierBroken: the first part that does not hold.
    """
    with holding("bundle"):
        bundle = RoundBundle.parse(body)
        require("bundle", body, bundle.canonical)
    require("run_id", bundle.run_id, run_id)
    rules = _check_log(bundle, validator)
    closing = decide_close(rules, _record(bundle))
    for part, found, expected in _told(bundle, closing):
        require(part, found, expected)
    for number, vector in enumerate(bundle.vectors):
        _check_vector(f"vectors/{number}", vector, bundle, closing)
    return bundle


# long: the order of the checks
def _check_log(bundle: RoundBundle, validator: str) -> ScoreSpec:
    """The log binds call, roster, commitments, secret, facts and faults; the call binds the score spec."""
    with holding("log"):
        log = RunLog.of_value(bundle.log)
        require("log: tree head", log.holds(log.tree_head.network, validator), True)
        check_leaves(log, log.tree_head.network, bundle.run_id)
        opened, closed = log.opened, log.closed
        (sealed,) = (leaf.entry for leaf in log.leaves if isinstance(leaf.entry, RunSealed))
    with holding("call"):
        require("call", ForecastRequestData.of_value(bundle.call).call_digest, opened.call_digest)
        rules = ScoreSpec.parse(J(bundle.score_spec))
        require("score_spec", rules.digest, bundle.call["score_spec_digest"])
    with holding("roster"):
        entries = tuple(RosterEntry.of_value(entry) for entry in bundle.roster)
        require("roster", Roster(entries, ()).digest, opened.roster_digest)
    require("log: deadline", sealed.commit_deadline, log.commit_deadline)
    require("commitments", commitments_digest(bundle.commitments), sealed.commitments_digest)
    require("log: run_closed", closed is not None, True)
    assert closed is not None
    if closed.audit_secret is not None:
        require("log: audit_secret", AuditSecret(bytes.fromhex(closed.audit_secret)).digest, sealed.audit_secret_hash)
    with holding("facts"):
        facts = sorted(
            bundle.facts, key=lambda fact: (fact["run_id"], fact["hotkey"], *_case(fact), fact["spec_digest"])
        )
        require("facts", tree_hash([J(fact) for fact in facts]).hex(), closed.facts_digest)
    require("faults", tree_hash(sorted(map(J, bundle.faults))).hex(), closed.faults_digest)
    return rules


def _record(bundle: RoundBundle) -> RunRecord:
    return run_record(
        [entry["hotkey"] for entry in bundle.roster],
        [Scored(f["hotkey"], _case(f), f["generation"], f["truth_version"], _value(f["score"])) for f in bundle.facts],
        [FaultScope(f["hotkey"], _case(f), f["effect"], f["code"], f["generation"]) for f in bundle.faults],
    )


def _told(bundle: RoundBundle, closing: Closing) -> Iterable[tuple[str, object, object]]:
    """What the bundle says of the close beside what follows from its facts."""
    groups = [(hotkey, group, score) for (hotkey, group), score in sorted(closing.group_scores.items())]
    leads = [(hotkey, lead, score) for (hotkey, lead), score in sorted(closing.lead_scores.items())]
    return [
        ("outcome", bundle.outcome, closing.outcome),
        ("reason", bundle.reason, closing.reason),
        ("coverage", bundle.coverage, f"{closing.coverage.numerator}/{closing.coverage.denominator}"),
        ("scores", bundle.scores, sorted((r.hotkey, r.score, r.rank) for r in ranking(closing.round_scores))),
        ("groups", bundle.groups, groups),
        ("leads", bundle.leads, leads),
    ]


def _check_vector(part: str, vector: VectorProof, bundle: RoundBundle, closing: Closing) -> None:
    """Its inputs name this round with these scores, and its shares follow from them."""
    with holding(part):
        inputs = WeightInputs.of_value(vector.inputs)
        require(f"{part}: inputs", inputs.digest, vector.input_digest)
        states = [_state(one) for one in vector.rounds]
        require(f"{part}: rounds", tuple(map(CountedRound.of, states)), inputs.rounds)
        require(f"{part}: shares", vector.shares, inputs.shares(states))
        (ours,) = (state for state in states if state.run_id == bundle.run_id)
        require(f"{part}: scores", dict(ours.totals), closing.round_scores)


def _state(told: Mapping[str, Any]) -> RoundState:
    named = {name: told[name] for name in ("serial", "run_id", "outcome", "scores", "totals", "group_weights")}
    return RoundState(**named, coverage=Fraction(1), closed_at=0)


def _case(document: Mapping[str, Any]) -> CaseKey:
    level = document["level"]
    height = LEVELS[level] if level in LEVELS else int(level)
    return CaseKey(document["pass"], document["lead_hours"], document["variable"], height, document["region"])


def _value(bits: str | None) -> float | None:
    return None if bits is None else struct.unpack(">d", bytes.fromhex(bits))[0]
