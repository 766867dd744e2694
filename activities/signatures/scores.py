"""Scoring, and what the ledger keeps of it."""

from abc import ABC, abstractmethod

from temporalio import activity

from activities.messages.base import Ref
from activities.messages.scoring import (
    BuildEnsemble,
    EnsembleBuilt,
    FinishPass,
    MembersWeighed,
    PartScored,
    PassStarted,
    RecordEnsemble,
    RecordScores,
    ScoreEntrants,
    ScoreMiners,
    Scoring,
    StartPass,
)


class Scorer(ABC):
    """Pure work on verified bytes."""

    @activity.defn
    @abstractmethod
    def score_miners(self, request: ScoreMiners) -> PartScored:
        """Score a chunk of miners; resumes at the next miner."""

    @activity.defn
    @abstractmethod
    def score_entrants(self, request: ScoreEntrants) -> PartScored:
        """Prove the scorer by forecasts of known worth, then score our own."""

    @activity.defn
    @abstractmethod
    def compare_miners(self, request: ScoreMiners) -> Ref:
        """Keep how alike the day-1 fields of all miners are."""

    @activity.defn
    @abstractmethod
    def build_ensemble(self, request: BuildEnsemble) -> EnsembleBuilt:
        """Keep and score the weighted means of the members."""


class ScoreRecords(ABC):
    """Ledger rows of a pass."""

    @activity.defn
    @abstractmethod
    def start_pass(self, request: StartPass) -> PassStarted:
        """Move the scoring job along a legal edge; answers what the run's inputs are."""

    @activity.defn
    @abstractmethod
    def record_scores(self, request: RecordScores) -> int:
        """Write facts and faults, insert-if-absent; answers the number of rows."""

    @activity.defn
    @abstractmethod
    def finish_pass(self, request: FinishPass) -> None:
        """End the scoring job; a fault voids its cases for all miners."""


class EnsembleRecords(ABC):
    """Who is in the ensembles, by what the ledger knew at the commit deadline."""

    @activity.defn
    @abstractmethod
    def weigh_members(self, request: Scoring) -> MembersWeighed:
        """Weigh the miners that are scored in a pass by their past errors."""

    @activity.defn
    @abstractmethod
    def record_ensemble(self, request: RecordEnsemble) -> None:
        """Write the ensembles of a pass, or that they failed; again: nothing new."""
