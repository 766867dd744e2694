"""What queries answer."""

from __future__ import annotations

from activities.messages.base import FaultNote, Instant, Message


class Why(Message):
    """Why a workflow stands where it stands."""

    stage: str
    waiting_for: str
    until: Instant | None = None
    last_fault: FaultNote | None = None
    helps: str = ""


class RunProgress(Message):
    """Counts of one run."""

    asked: int = 0
    committed: int = 0
    verified: int = 0
    failed: int = 0
    passes_done: int = 0
    passes_total: int = 0


class RunStatus(Message):
    """Where a run stands."""

    run_id: str
    stage: str
    outcome: str | None = None
    commit_deadline: Instant | None = None
    progress: RunProgress = RunProgress()
