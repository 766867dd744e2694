"""What queries answer."""

from __future__ import annotations

from typing import Literal

from activities.messages.base import FaultNote, Instant, Message

Kind = Literal["timer", "source", "miner", "platform", "policy", "operator", "worker"]


class Why(Message):
    """Why a workflow stands where it stands: what it waits for, whose turn it is, and which verbs help."""

    stage: str
    waiting_for: str
    kind: Kind = "timer"
    since: Instant | None = None
    until: Instant | None = None
    last_fault: FaultNote | None = None
    verbs: tuple[str, ...] = ()


class RunProgress(Message):
    asked: int = 0
    committed: int = 0
    verified: int = 0
    failed: int = 0
    passes_done: int = 0
    passes_total: int = 0


class RunStatus(Message):
    run_id: str
    stage: str
    outcome: str | None = None
    held_by: str | None = None
    commit_deadline: Instant | None = None
    progress: RunProgress = RunProgress()
