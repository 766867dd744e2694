"""The round backend: ids, keys and paths, and what each of its answers means for what is told."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Collection
from datetime import timedelta
from typing import Literal, NamedTuple
from urllib.parse import quote
from uuid import UUID, uuid5

Operation = Literal["start_round", "set_tasks", "start_agent_run", "add_evaluation", "finish_round"]
State = Literal["pending", "stored", "parked", "expired"]

OPERATIONS: tuple[Operation, ...] = ("start_round", "set_tasks", "start_agent_run", "add_evaluation", "finish_round")
ONLY = "1"
BATCHED: Operation = "add_evaluation"
BATCH = 100
SHORTEST_PAUSE, LONGEST_PAUSE, LONGEST_WAIT = timedelta(seconds=1), timedelta(minutes=5), timedelta(hours=1)
KEPT_AFTER_CLOSE = timedelta(days=30)

_NAMESPACE = UUID("89cb45f3-b505-548a-bf2e-8370ca9fb657")
_PATHS = {
    "start_round": "",
    "set_tasks": "/tasks",
    "start_agent_run": "/agent-runs/{}",
    "add_evaluation": "/evaluations/{}",
    "finish_round": "/finish",
}


def task_id(network: str, run_id: str, pass_: str, lead_hours: int) -> str:
    """Id of a pass of a lead; lead 0 stands for all leads of day 1."""
    return str(uuid5(_NAMESPACE, f"{network}|{run_id}|{pass_}|{lead_hours}"))


def evaluation_id(job_id: str, pass_: str, lead_hours: int, generation: int) -> str:
    """Id of what a miner's job came to in a task."""
    return str(uuid5(_NAMESPACE, f"{job_id}|{pass_}|{lead_hours}|{generation}"))


def idempotency_key(operation: Operation, network: str, run_id: str, item: str = ONLY) -> str:
    """The key of an operation; its body is not in it."""
    return hashlib.sha256(f"{operation}|{network}|{run_id}|{item}".encode()).hexdigest()


def resource(operation: str, run_id: str, item: str = "") -> str:
    """Path below the base URL; of all evaluations of a run if no item is given."""
    return f"/rounds/{quote(run_id, safe='')}" + _PATHS[operation].format(item).rstrip("/")


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
    """What an answer means; of statuses and codes, none stands for all.

    Attributes:
        name: under which the answers in a row are counted.
        parked_after: so many of them park the row.
        pause: until the next try, unless the answer names one; else from a second doubling to five minutes.
        provable: a proof makes the row stored.
        alarm: every such answer is one, as parking always is.
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
    Rule("credentials", (401, 403), pause=timedelta(seconds=300), alarm=True),
    Rule("unknown", (*range(200), *range(203, 300), 408, 425, 429, *range(500, 1000))),
    Rule("refused", parked_after=1),
)
ASKED_NEXT = ("accepted", "differs")


class Verdict(NamedTuple):
    """What becomes of a row: its state, and if it is pending, the pause."""

    state: State
    rule: Rule
    attempts: int
    pause: timedelta


def verdict(reply: Reply, before: str, attempts: int) -> Verdict:
    """What follows from an answer after `attempts` answers in a row under the rule `before`."""
    rule = next(
        rule
        for rule in RULES
        if (not rule.statuses or reply.status in rule.statuses) and (not rule.codes or reply.code in rule.codes)
    )
    count = attempts + 1 if rule.name == before else 1
    doubled = min(SHORTEST_PAUSE * 2 ** min(count - 1, 9), LONGEST_PAUSE)
    pause = rule.pause or doubled if reply.retry_after is None else reply.retry_after
    state: State = "pending"
    if rule.provable and reply.proved:
        state = "stored"
    elif (before, rule.name) == ("differs", "unproved") or (rule.parked_after and count >= rule.parked_after):
        state = "parked"
    return Verdict(state, rule, count, min(max(pause, SHORTEST_PAUSE), LONGEST_WAIT))
