"""The table of `why`: for every state of a row of the ledger whose turn it is, until when, and what helps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal, NamedTuple

from activities.messages.status import Kind
from adapters.ledger.tables.runs import ForecastRunRow, InterventionRow
from weather.faults import InternalError, tree
from weather.second_chances import second_chance

CODES = tree()
EVIDENCE = ("status", "state", "coverage", "detail", "found", "expected", "reference", "rule")
OPEN_VERBS = ("hold", "rerun", "skip", "accept", "void")


@dataclass(frozen=True)
class Leaf:
    """Where an answer ends; without a kind nothing is waited for and nothing failed."""

    subject: str
    says: str
    kind: Kind | None = None
    code: str | None = None
    since: datetime | None = None
    next: datetime | None = None
    evidence: Mapping[str, Any] = field(default_factory=dict)
    verbs: tuple[str, ...] = ()


class State(NamedTuple):
    """The kind `code` is the cause of the row's code; `next` names the instant that is waited for."""

    kind: Kind | Literal["code"] | None
    says: str
    next: str = ""


RUNS = {
    "pending": State("timer", "waits for inputs and commitments", "commit_deadline"),
    "initial_scoring_queued": State("timer", "sealed; waits for the analyses of day 1", "close_by"),
    "initial_scoring_running": State("worker", "scores day 1", "close_by"),
    "initial_scoring_skipped": State("timer", "no day-1 lead is scored; waits for ERA5", "close_by"),
    "initial_scoring_failed": State("code", "day 1 is void: {faults}; waits for ERA5", "close_by"),
    "initial_scoring_done": State("timer", "day 1 is scored; waits for ERA5", "close_by"),
    "final_scoring_triggered": State("timer", "scores each lead as its ERA5 comes", "close_by"),
    "final_scoring_failed": State("code", "too little is scored: {faults}; void unless a verb helps", "close_by"),
    "final_scoring_completed": State("worker", "scored; about to close", "close_by"),
    "held": State("operator", "held by {held_by}, and void unless it is released", "close_by"),
    "fail": State("operator", "its check failed, and it is void unless somebody accepts it", "close_by"),
    "complete": State(None, "closed: every case counted"),
    "partial": State("code", "closed on coverage {coverage}: {faults}"),
    "coverage": State("code", "void: coverage {coverage} is below 7/10: {faults}"),
    "empty_roster": State("operator", "void: the registry had no miner"),
    "no_lead": State("code", "void: no lead could be committed to before its weather: {faults}"),
    "ingress": State("code", "void: the validator's own HTTP side was down: {faults}"),
    "operator": State("operator", "void: by an operator, or held until it had to close"),
    "review": State("operator", "void: its check failed and nobody answered"),
    "not_run": State("worker", "void: this cycle was never opened"),
}
JOBS = {
    "queued": State("source", "waits for its truth, which is asked for again and again", "close_by"),
    "in_progress": State("worker", "is being scored", "close_by"),
    "completed": State(None, "is recorded"),
    "failed": State("code", "is void"),
}
RESPONSES = {
    None: State("timer", "is not asked yet", "commit_deadline"),
    "received": State("miner", "has the call and prepares", "commit_deadline"),
    "fetch_initiated": State("miner", "fetches its inputs", "commit_deadline"),
    "awaiting_input_hashes": State("miner", "hashes its inputs", "commit_deadline"),
    "input_validation_complete": State("miner", "has the inputs that it should have", "commit_deadline"),
    "input_hash_mismatch": State("miner", "has other inputs than it should have", "commit_deadline"),
    "input_fetch_error": State("miner", "could not fetch its inputs", "commit_deadline"),
    "inference_triggered": State("miner", "computes its forecast", "commit_deadline"),
    "awaiting_inference_results": State("miner", "writes its forecast", "commit_deadline"),
    "verifying_manifest": State("worker", "has committed; its manifest is being verified", "close_by"),
    "verified_manifest_store_opened": State("timer", "is verified; its leads are scored as truth comes", "close_by"),
    "failed_manifest_verification": State("code", "failed"),
    "verification_error": State("code", "failed"),
}
EFFECTS = {"W": State("code", "scores zero"), "V": State("code", "void for all")}
PUBLICATIONS = {
    "planned": State("platform", "is to be handed over", "publish_until"),
    "submitted": State("platform", "is handed over and not read back yet", "ends"),
    "committed": State("timer", "is taken by the chain or kept back for it, and shown when the chain reveals it"),
    "confirmed": State(None, "is read back as it was sent"),
    "missed": State("code", "is missed, and never made up for"),
}
OUTBOX = {
    "pending": State("platform", "is to be told", "next_at"),
    "stored": State(None, "is told, and proved to be stored"),
    "parked": State("operator", "was refused and is not sent again: the settings of one side are wrong"),
    "expired": State("platform", "was given up long after the close"),
}
UNSCORED = {
    "ConfigurationInvalid": "change the setting or the input, and start again",
    "PrerequisiteMissing": "provide it, and start again",
    "InterventionRefused": "nothing was changed",
    "LedgerConflict": "what is stored stands, and somebody must look at it",
    "ChildStillOpen": "asked again until the child ends",
    "SinkUnavailable": "tried again until the epoch ends",
    "RunTerminated": "`run start` goes on with what the ledger holds",
    "NothingToPublish": "nothing is published until a round counts and somebody can be paid",
    "WeightsNotPublished": "the next epoch emits anew",
}


def of_code(code: str, *, early: bool = False) -> tuple[Kind, str, tuple[str, ...]]:
    """Whose fault it is; what it is and what is tried again; the verbs that help while a run is open."""
    fault = CODES.get(code, InternalError)
    row = second_chance(code, "commit") if early else None
    row = row or second_chance(code, "transfer") or second_chance(code, "commit")
    until = f", until {row.until.replace('_', ' ')}" if row and row.until != "never" else ""
    again = f"tried again: {row.automatic}{until}" if row else UNSCORED.get(code, "an unknown code")
    return fault.cause, f"{(fault.__doc__ or code).rstrip('.')}; {again}", row.verbs if row else ()


def of_row(subject: str, state: State, row: object, of: object) -> Leaf:
    """A row of the ledger in a state; `of` is the run or epoch that has the instants."""
    kind, says, code, verbs = state.kind, state.says, getattr(row, "code", None), ()
    if kind == "code":
        kind, words, verbs = of_code(code or InternalError.__name__, early=getattr(row, "lead_hours", 0) < 0)
        says = f"{says}: {words}"
    return Leaf(
        subject,
        says,
        kind,
        code,
        since=getattr(row, "updated_at", None) or getattr(row, "recorded_at", None),
        next=getattr(of, state.next, None),
        evidence={name: value for name in EVIDENCE if (value := getattr(row, name, None))},
        verbs=() if getattr(of, "outcome", None) else verbs,
    )


def of_run(run: ForecastRunRow, since: datetime | None, void: Mapping[str, int], act: InterventionRow | None) -> Leaf:
    """A run with its void cases by code, the most frequent first, and what an operator did last."""
    open_ = "held" if run.held_by else "fail" if run.review == "fail" else run.status
    state = RUNS[run.outcome_reason or open_]
    code = next(iter(void), None) if state.kind == "code" else None
    faults = ", ".join(f"{code} ({count})" for code, count in void.items()) or "cases that nobody settled"
    says = state.says.format(held_by=run.held_by, coverage=run.coverage, faults=faults)
    leaf = of_row(run.run_id, State(None, says, state.next), run, run)
    return replace(
        leaf,
        kind=of_code(code or InternalError.__name__)[0] if state.kind == "code" else state.kind,
        code=code,
        since=since,
        evidence={**leaf.evidence, "actor": act.actor, "reason": act.reason} if act else leaf.evidence,
        verbs=() if run.outcome else ("release", *OPEN_VERBS[1:]) if run.held_by else OPEN_VERBS,
    )
