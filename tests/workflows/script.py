"""What the fakes play: the world of a test, and what was done to it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from activities.messages.audits import ObjectNote
from activities.messages.base import Ref
from activities.messages.miner import CommitmentRecorded

DIGEST = "ab" * 32
REF = Ref(sha256=DIGEST, size_bytes=1)


@dataclass
class Script:
    """What the world does, and what was done to it."""

    hotkeys: Sequence[str]
    leads: tuple[int, ...] = (24, 48)
    day1_leads: tuple[int, ...] = (6, 12)
    commit_wait: timedelta = timedelta(hours=1)
    faults: dict[tuple[str, str], Any] = field(default_factory=dict)
    pushes: set[str] = field(default_factory=set)
    late: set[str] = field(default_factory=set)
    moves: int = 0
    members: tuple[str, ...] = ()
    round_backend: bool = False
    second_chance: timedelta = timedelta(hours=72)
    doubts: list[str | None] = field(default_factory=list)
    outcomes: list[Literal["closed", "closed_partial", "void"]] = field(default_factory=list)
    tasks: dict[str, dict[str, Any]] = field(default_factory=dict)
    audits: dict[str, list[datetime]] = field(default_factory=dict)
    audited: dict[tuple[str, int], tuple[ObjectNote, ...]] = field(default_factory=dict)
    unrevised: tuple[datetime, ...] = ()
    published: set[datetime] = field(default_factory=set)
    changed: set[int] = field(default_factory=set)
    sinks: tuple[str, ...] = ("file", "http")
    calls: dict[str, list[Any]] = field(default_factory=lambda: defaultdict(list))
    commitments: dict[str, CommitmentRecorded] = field(default_factory=dict)

    def play(self, name: str, key: str, request: Any) -> None:
        """Note the call; raise what is scripted for this attempt."""
        self.calls[name].append(request)
        pending = self.faults.get((name, key), [])
        if pending:
            raise pending.pop(0)

    def keys(self, name: str) -> list[str]:
        """The hotkeys that an activity was called with."""
        return [request.hotkey for request in self.calls[name]]

    def record(self, hotkey: str) -> CommitmentRecorded:
        """The first commitment of a miner stands."""
        leaf = len(self.commitments)
        recorded = CommitmentRecorded(
            commitment=REF, commitment_digest=DIGEST, leaf_index=leaf, in_time=hotkey not in self.late, receipt=REF
        )
        return self.commitments.setdefault(hotkey, recorded)

    def sealed(self, hotkey: str) -> CommitmentRecorded | None:
        """What stands at the seal; a deadline that moved makes a late commitment one in time."""
        recorded = self.commitments.get(hotkey)
        return recorded.model_copy(update={"in_time": True}) if recorded and self.moves else recorded
