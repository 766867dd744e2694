"""What the ledger and the clock of `control` do for a run."""

from abc import ABC, abstractmethod

from temporalio import activity

from activities.messages.run import (
    AbsenceSettled,
    AdoptChild,
    Adopted,
    AdvanceRun,
    Aggregated,
    AggregateRun,
    Announce,
    CancelRun,
    CloseRun,
    CommitWindow,
    Deregistered,
    ForecastRunInput,
    ForecastRunResult,
    FreezeRoster,
    OpenCommitWindow,
    Roster,
    Run,
    Sealed,
    SealRun,
    SettleAbsence,
)


class RunOpening(ABC):
    """The row, the roster and the window of one run."""

    @activity.defn
    @abstractmethod
    def open_run(self, request: ForecastRunInput) -> Run:
        """Resolve every setting and store the row; again: the stored run."""

    @activity.defn
    @abstractmethod
    def freeze_roster(self, request: FreezeRoster) -> Roster:
        """Read the registry once; again: the first roster."""

    @activity.defn
    @abstractmethod
    def open_commit_window(self, request: OpenCommitWindow) -> CommitWindow:
        """Fix the call and its deadline; again: the first window."""


class RunRecords(ABC):
    """The steps of an opened run, until it is closed."""

    @activity.defn
    @abstractmethod
    def advance_run(self, request: AdvanceRun) -> None:
        """Move the run's status along a legal edge."""

    @activity.defn
    @abstractmethod
    def settle_absence(self, request: SettleAbsence) -> AbsenceSettled:
        """Prove every absence, or move the deadline for all; again: the same answer."""

    @activity.defn
    @abstractmethod
    def seal_run(self, request: SealRun) -> Sealed:
        """Close the commit window; later commitments are refused."""

    @activity.defn
    @abstractmethod
    def cancel_run(self, request: CancelRun) -> None:
        """Tell that the run was cancelled; a restart adopts what is recorded."""

    @activity.defn
    @abstractmethod
    def record_deregistered(self, request: Deregistered) -> None:
        """Append that a miner left the registry; a stranger to the roster is passed over."""

    @activity.defn
    @abstractmethod
    def aggregate_run(self, request: AggregateRun) -> Aggregated:
        """Decide coverage from the facts, and project whether the final scoring is complete."""

    @activity.defn
    @abstractmethod
    def close_run(self, request: CloseRun) -> ForecastRunResult:
        """Decide coverage, scores and ranks from the facts, once."""


class Children(ABC):
    """What a run asks Temporal about its children."""

    @activity.defn
    @abstractmethod
    async def announce(self, request: Announce) -> None:
        """Signal `sealed` or `deadline_moved` to every waiting child; closed ones are passed over."""

    @activity.defn
    @abstractmethod
    async def adopt_child(self, request: AdoptChild) -> Adopted:
        """Answer a completed child's result; an open one is asked again later."""
