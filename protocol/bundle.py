"""A round bundle: all facts and faults of a closed round, what was decided from them, and who was paid for it.

Checked without ledger, Temporal or network. Bytes of forecasts and truth are the business of dossiers.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import timedelta
from fractions import Fraction
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from protocol.audits import AUDITS_PER_RUN, AuditPlan, AuditSecret
from protocol.canonical import J
from protocol.commitment import Commitment
from protocol.document import Count, Digest, Document, Hotkey, RunId, Stamp, Word
from protocol.dossier import DossierBroken, FactDocument, FaultDocument, RunLog, holding, require
from protocol.examination import check_leaves
from protocol.facts import run_record
from protocol.merkle import tree_hash
from protocol.messages import ForecastRequestData
from protocol.names import format_stamp, parse_stamp
from protocol.receipt import RunClosed, RunSealed, commitments_digest
from protocol.registry import Roster, RosterEntry
from protocol.weights import CountedRound, WeightInputs
from weather.faults import AuditFailed, NothingToPublish
from weather.round_score import Closing, RunRecord, decide_close, ranking
from weather.score_spec import ScoreSpec
from weather.weights.window import RoundState

LEAVES = frozenset({"run_opened", "run_sealed", "run_closed"})


class AuditProof(Document):
    """A retention audit that ended: the places in the manifest that the secret names, and which were not served."""

    hotkey: Hotkey
    number: Annotated[int, Field(ge=0, lt=AUDITS_PER_RUN)]
    due: Stamp
    outcome: Literal["kept", "failed", "void"]
    objects: tuple[Count, ...]
    failed: tuple[Count, ...]


class WindowRound(Document):
    """R and p of everybody in a round of a window."""

    serial: Count
    run_id: RunId
    outcome: Literal["closed", "closed_partial"]
    totals: dict[Word, Count]
    scores: dict[Word, dict[Word, Count]]


class VectorProof(Document):
    """Weights that the round took part in, with the scores of their window."""

    input_digest: Digest
    inputs: WeightInputs
    rounds: tuple[WindowRound, ...]
    shares: tuple[tuple[str, int], ...]


class RoundBundle(Document):
    """Everything that follows from a closed round, and what it follows from; faults in the order of their finality."""

    max_bytes: ClassVar[int] = 1 << 30

    document: Literal["barograph/round-bundle/1"] = "barograph/round-bundle/1"
    run_id: RunId
    log: RunLog
    call: ForecastRequestData
    roster: tuple[RosterEntry, ...]
    score_spec: dict[str, Any]
    commitments: tuple[Commitment, ...]
    audits: tuple[AuditProof, ...]
    facts: tuple[FactDocument, ...]
    faults: tuple[FaultDocument, ...]
    outcome: str
    reason: str
    coverage: str
    scores: tuple[tuple[str, int, int], ...]
    groups: tuple[tuple[str, str, int], ...]
    leads: tuple[tuple[str, int, int], ...]
    vectors: tuple[VectorProof, ...]


def lacking(body: bytes) -> list[str]:
    """Names of members and entries of the log that a bundle must have and these bytes do not."""
    with holding("bundle"):
        members = json.loads(body)
        if missing := sorted(RoundBundle.model_fields.keys() - set(members)):
            return missing
        return [
            f"log: {kind}" for kind in sorted(LEAVES - {leaf["entry"]["kind"] for leaf in members["log"]["leaves"]})
        ]


def verify_round(body: bytes, run_id: str, validator: str | None = None) -> RoundBundle:
    """Check a bundle that lacks nothing.

    Args:
        body: the file.
        run_id: the round that it must be of.
        validator: hotkey that must have signed the log; without one it is told in the head of the log.

    Raises:
        DossierBroken: the first part that does not hold.
    """
    with holding("bundle"):
        bundle = RoundBundle.parse(body)
        require("bundle", body, bundle.canonical)
    require("run_id", bundle.run_id, run_id)
    with holding("log"):
        sealed, closed = _logged(bundle, validator or bundle.log.tree_head.validator)
    rules = _check_bound(bundle, sealed, closed)
    _check_audits(bundle, rules, sealed, closed)
    with holding("facts"):
        closing = decide_close(rules, _record(bundle))
    for part, found, expected in _told(bundle, closing):
        require(part, found, expected)
    for number, vector in enumerate(bundle.vectors):
        _check_vector(f"vectors/{number}", vector, bundle, closing)
    return bundle


def _logged(bundle: RoundBundle, validator: str) -> tuple[RunSealed, RunClosed]:
    """Seal and close, from a log that the validator signed."""
    log = bundle.log
    require("log: tree head", log.holds(log.tree_head.network, validator), True)
    check_leaves(log, log.tree_head.network, bundle.run_id)
    (sealed,) = (leaf.entry for leaf in log.leaves if isinstance(leaf.entry, RunSealed))
    (closed,) = (leaf.entry for leaf in log.leaves if isinstance(leaf.entry, RunClosed))
    require("call: job_id", bundle.call.job_id, bundle.call.addressed_to(validator).job_id)
    require("log: call_digest", bundle.call.call_digest, log.opened.call_digest)
    require("call: commit_deadline", bundle.call.commit_deadline, log.opened.commit_deadline)
    require("log: deadline", sealed.commit_deadline, log.commit_deadline)
    return sealed, closed


def _check_bound(bundle: RoundBundle, sealed: RunSealed, closed: RunClosed) -> ScoreSpec:
    """The log binds roster, commitments, facts and faults; the call binds the score spec."""
    with holding("score_spec"):
        rules = ScoreSpec.parse(J(bundle.score_spec))
        require("score_spec", rules.digest, bundle.call.score_spec_digest)
    require("roster", Roster(bundle.roster, ()).digest, bundle.log.opened.roster_digest)
    with holding("commitments"):
        for commitment in bundle.commitments:
            commitment.check_binding(bundle.call, commitment.hotkey)
        digests = [commitment.digest for commitment in bundle.commitments]
        require("commitments", commitments_digest(digests), sealed.commitments_digest)
    facts = sorted(bundle.facts, key=lambda fact: (fact.run_id, fact.hotkey, *fact.case, fact.spec_digest))
    require("facts", tree_hash([fact.canonical for fact in facts]).hex(), closed.facts_digest)
    faults = sorted(fault.canonical for fault in bundle.faults)
    require("faults", tree_hash(faults).hex(), closed.faults_digest)
    require("facts: run", {fact.run_id for fact in facts} | {bundle.run_id}, {bundle.run_id})
    require("facts: score_spec", {fact.spec_digest for fact in facts} | {rules.digest}, {rules.digest})
    return rules


def _check_audits(bundle: RoundBundle, rules: ScoreSpec, sealed: RunSealed, closed: RunClosed) -> None:
    """Instant and objects of each audit follow from the secret; only who failed one has lost by it."""
    if closed.audit_secret is None:
        return require("audits", bundle.audits, ())
    secret = AuditSecret(bytes.fromhex(closed.audit_secret))
    require("log: audit_secret", secret.digest, sealed.audit_secret_hash)
    last = bundle.call.gfs_init_time + timedelta(hours=rules.final_leads[-1])
    commitments = {commitment.hotkey: commitment for commitment in bundle.commitments}
    for audit in bundle.audits:
        part = f"audits/{audit.hotkey}/{audit.number}"
        with holding(part):
            commitment = commitments[audit.hotkey]
        plan = AuditPlan(secret, audit.hotkey, commitment.digest)
        due = parse_stamp(format_stamp(plan.instant(audit.number, sealed.recorded_at, last)))
        expected = (due, plan.objects(audit.number, commitment.object_count))
        require(f"{part}: due, objects", (audit.due, audit.objects), expected)
        require(f"{part}: failed", audit.failed, tuple(sorted(set(audit.failed) & set(audit.objects))))
        require(f"{part}: outcome", audit.outcome == "failed", bool(audit.failed))
    keys = [(audit.hotkey, audit.number) for audit in bundle.audits]
    require("audits", keys, sorted(set(keys)))
    lost = {fault.hotkey for fault in bundle.faults if fault.code == AuditFailed.__name__}
    require("audits", sorted(lost - {audit.hotkey for audit in bundle.audits if audit.failed}), [])


def _record(bundle: RoundBundle) -> RunRecord:
    faults = [fault.final for fault in bundle.faults]
    return run_record([entry.hotkey for entry in bundle.roster], (fact.scored for fact in bundle.facts), faults)


def _told(bundle: RoundBundle, closing: Closing) -> Iterable[tuple[str, object, object]]:
    """What the bundle says of the close beside what follows from its facts."""
    groups = sorted((hotkey, group, score) for (hotkey, group), score in closing.group_scores.items())
    leads = sorted((hotkey, lead, score) for (hotkey, lead), score in closing.lead_scores.items())
    ranks = sorted((row.hotkey, row.score, row.rank) for row in ranking(closing.round_scores))
    return [
        ("outcome", bundle.outcome, closing.outcome),
        ("reason", bundle.reason, closing.reason),
        ("coverage", bundle.coverage, f"{closing.coverage.numerator}/{closing.coverage.denominator}"),
        ("scores", bundle.scores, tuple(ranks)),
        ("groups", bundle.groups, tuple(groups)),
        ("leads", bundle.leads, tuple(leads)),
    ]


def _check_vector(part: str, vector: VectorProof, bundle: RoundBundle, closing: Closing) -> None:
    """Its inputs name this round with these scores, and its shares follow from them."""
    inputs, states = vector.inputs, states_of(vector.rounds)
    require(f"{part}: inputs", inputs.digest, vector.input_digest)
    require(f"{part}: network", inputs.network, bundle.log.tree_head.network)
    require(f"{part}: rounds", tuple(map(CountedRound.of, states)), inputs.rounds)
    try:
        with holding(part):
            (ours,) = (state for state in states if state.run_id == bundle.run_id)
            require(f"{part}: shares", vector.shares, tuple(inputs.shares(states)))
    except NothingToPublish as error:
        raise DossierBroken(f"{part}: shares", error) from error
    groups = {(hotkey, group): p for hotkey, parts in ours.scores.items() for group, p in parts.items()}
    found, expected = (ours.outcome, ours.totals, groups), (closing.outcome, closing.round_scores, closing.group_scores)
    require(f"{part}: scores", found, expected)


def states_of(rounds: Sequence[WindowRound]) -> list[RoundState]:
    """The rounds as weights read them; their groups are those that any of them has a score of."""
    groups = {group: 1 for one in rounds for parts in one.scores.values() for group in parts}
    return [
        RoundState(one.serial, one.run_id, one.outcome, Fraction(1), 0, groups, one.scores, one.totals)
        for one in rounds
    ]
