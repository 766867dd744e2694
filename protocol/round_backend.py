"""The round backend: ids, keys, bodies of the five operations, and what each answer means for the outbox."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Collection, Iterable
from datetime import timedelta
from typing import Literal, NamedTuple
from urllib.parse import quote
from uuid import UUID, uuid5

from pydantic import Field

from protocol.document import Count, Digest, Document, JobId, Stamp, Time, Word
from protocol.merkle import tree_hash

Operation = Literal["start_round", "set_tasks", "start_agent_run", "add_evaluation", "finish_round"]
State = Literal["pending", "stored", "parked", "expired"]

OPERATIONS: tuple[Operation, ...] = ("start_round", "set_tasks", "start_agent_run", "add_evaluation", "finish_round")
STATES: tuple[State, ...] = ("pending", "stored", "parked", "expired")
ONLY = "1"
BATCHED: Operation = "add_evaluation"
BATCH = 100
LONGEST_PAUSE = timedelta(minutes=5)
SHORTEST_PAUSE, LONGEST_WAIT = timedelta(seconds=1), timedelta(hours=1)
KEPT_AFTER_CLOSE = timedelta(days=30)

_NAMESPACE = UUID("89cb45f3-b505-548a-bf2e-8370ca9fb657")
_PATHS: dict[Operation, str] = {
    "start_round": "",
    "set_tasks": "/tasks",
    "start_agent_run": "/agent-runs/{item}",
    "add_evaluation": "/evaluations/{item}",
    "finish_round": "/finish",
}


class StartRound(Document):
    """Body of `start_round`."""

    opens_at: Stamp
    commit_deadline: Time
    score_spec_digest: Digest
    roster_digest: Digest
    roster_size: Count


class Task(Document):
    """One pass of one lead; 0 stands for all leads of day 1."""

    task_id: JobId
    pass_: str = Field(alias="pass")
    lead_hours: Count
    cases: Count
    weight: Count


class SetTasks(Document):
    """Body of `set_tasks`."""

    tasks: tuple[Task, ...]
    case_set_digest: Digest


class StartAgentRun(Document):
    """Body of `start_agent_run`; without a commitment nothing is known of it."""

    hotkey: Digest
    uid: Count | None
    commitment_digest: Digest | None
    in_time: bool | None


class Evaluation(Document):
    """One item of `add_evaluation`: a score in nano over the counted cases, or the code of there being none."""

    evaluation_id: JobId
    job_id: JobId
    task_id: JobId
    generation: Count
    score: Count | None
    code: Word | None
    cases: Count
    facts_digest: Digest


class RankedScore(Document):
    """A round score in nano."""

    hotkey: Word
    score: Count
    rank: Count | None


class FinishRound(Document):
    """Body of `finish_round`; `evaluations_root` is the MTH of the sorted evaluation ids."""

    outcome: Word
    coverage: Word
    evaluations: Count
    evaluations_root: Digest
    scores: tuple[RankedScore, ...]
    facts_digest: Digest


def task_id(network: str, run_id: str, pass_: str, lead_hours: int) -> str:
    """Id of a task."""
    return str(uuid5(_NAMESPACE, f"{network}|{run_id}|{pass_}|{lead_hours}"))


def evaluation_id(job_id: str, pass_: str, lead_hours: int, generation: int) -> str:
    """Id of what a miner's job came to in a task."""
    return str(uuid5(_NAMESPACE, f"{job_id}|{pass_}|{lead_hours}|{generation}"))


def evaluations_root(ids: Iterable[str]) -> str:
    """MTH over the sorted ids."""
    return tree_hash([one.encode() for one in sorted(ids)]).hex()


def idempotency_key(operation: Operation, network: str, run_id: str, item: str = ONLY) -> str:
    """The key of an operation; its body is not in it."""
    return hashlib.sha256(f"{operation}|{network}|{run_id}|{item}".encode()).hexdigest()


def resource(operation: Operation, run_id: str, item: str) -> str:
    """Path below the base URL at which the resource is, where all but evaluations are put too."""
    return f"/rounds/{quote(run_id, safe='')}" + _PATHS[operation].format(item=item)


def evaluations(run_id: str) -> str:
    """Path below the base URL to which batches of evaluations are posted."""
    return f"/rounds/{quote(run_id, safe='')}/evaluations"


def body_sha256(body: bytes) -> str:
    """The digest by which an answer proves what it stored."""
    return hashlib.sha256(body).hexdigest()


def content_digest(body: bytes) -> str:
    """Value of the header `Content-Digest` (RFC 9530)."""
    return f"sha-256=:{base64.b64encode(hashlib.sha256(body).digest()).decode()}:"


class Reply(NamedTuple):
    """An answer, or its item; status 0 is no whole answer. `proved`: it says `stored` and names our body's digest."""

    status: int
    code: str | None = None
    proved: bool = False
    retry_after: timedelta | None = None


class Rule(NamedTuple):
    """What an answer means.

    Attributes:
        name: a row counts its answers under one name.
        statuses: those of the answer; none stands for all.
        codes: those of the problem document; none stands for all.
        parked_after: so many answers in a row under this name park the row.
        pause: until the next try, unless the answer names it; none doubles from a second to five minutes.
        provable: a proof makes the row stored.
        alarm: every such answer is an alarm, as parking always is.
    """

    name: str
    statuses: Collection[int] = ()
    codes: Collection[str] = ()
    parked_after: int | None = None
    pause: timedelta | None = None
    provable: bool = False
    alarm: bool = False


RULES = (
    Rule("unproved", (200, 201), parked_after=3, provable=True),
    Rule("unproved", (409,), ("already-stored",), parked_after=3, provable=True),
    Rule("accepted", (202,)),
    Rule("refused", (409,), ("key-reused", "identifier-bound"), parked_after=1),
    Rule("early", (409,), ("window-not-active", "not-authority", "finish-grace"), pause=timedelta(seconds=180)),
    Rule("lost", (404, 409), ("round-unknown",)),
    Rule("differs", (409,), ("tasks-locked", "task-set-differs")),
    Rule("doubted", (404, 409), parked_after=5),
    Rule("refused", (400, 410, 422, *range(300, 400)), parked_after=1),
    Rule("credentials", (401, 403), pause=timedelta(seconds=300), alarm=True),
    Rule("too_large", (413,), parked_after=1),
    Rule("unknown", (*range(200), *range(203, 300), 408, 425, 429, *range(500, 1000))),
    Rule("refused", parked_after=1),
)
ASKED_NEXT = ("accepted", "differs")


class Verdict(NamedTuple):
    """What the outbox does with a row: its state, and if it is pending, after which pause."""

    state: State
    rule: Rule
    attempts: int
    pause: timedelta


def rule_of(status: int, code: str | None) -> Rule:
    """The first rule that the answer meets."""
    return next(
        rule
        for rule in RULES
        if (not rule.statuses or status in rule.statuses) and (not rule.codes or code in rule.codes)
    )


def verdict(reply: Reply, before: str, attempts: int) -> Verdict:
    """What follows from an answer.

    Args:
        reply: the answer, or the item of it that is about this row.
        before: name of the rule that the last answer met.
        attempts: how many answers in a row met it.
    """
    rule = rule_of(reply.status, reply.code)
    count = attempts + 1 if rule.name == before else 1
    if rule.provable and reply.proved:
        return Verdict("stored", rule, count, timedelta(0))
    other_set_stands = before == "differs" and rule.name == "unproved"
    if other_set_stands or (rule.parked_after is not None and count >= rule.parked_after):
        return Verdict("parked", rule, count, timedelta(0))
    doubled = min(SHORTEST_PAUSE * 2 ** min(count - 1, 9), LONGEST_PAUSE)
    pause = rule.pause or doubled if reply.retry_after is None else reply.retry_after
    return Verdict("pending", rule, count, min(max(pause, SHORTEST_PAUSE), LONGEST_WAIT))
