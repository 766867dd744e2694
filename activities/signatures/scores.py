"""Scoring, and what the ledger keeps of it."""

from abc import ABC, abstractmethod

from temporalio import activity

from activities.messages.scoring import FinishPass, PartScored, RecordScores, ScoreMiners, StartPass


class Scorer(ABC):
    """Pure work on verified bytes."""

    @activity.defn
    @abstractmethod
    def score_miners(self, request: ScoreMiners) -> PartScored:
        """Score a chunk of miners; resumes at the next miner."""


class ScoreRecords(ABC):
    """Ledger rows of a pass."""

    @activity.defn
    @abstractmethod
    def start_pass(self, request: StartPass) -> None:
        """Move the scoring job along a legal edge."""

    @activity.defn
    @abstractmethod
    def record_scores(self, request: RecordScores) -> int:
        """Write facts and faults, insert-if-absent; answers the number of rows."""

    @activity.defn
    @abstractmethod
    def finish_pass(self, request: FinishPass) -> None:
        """End the scoring job; a fault voids its cases for all miners."""
