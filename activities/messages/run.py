"""Messages of `ForecastRun`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Literal, Self

from pydantic import field_validator, model_validator

from activities.messages.base import Digest, FaultNote, Hotkey, Instant, Message, Purpose, Ref
from protocol import names

Outcome = Literal["closed", "closed_partial", "void"]


class CampaignRef(Message):
    name: str


class ForecastRunInput(Message):
    """Which run to play; what is left out is resolved by `open_run`."""

    init_time: Instant
    purpose: Purpose | None = None
    network: str | None = None
    grid: str | None = None
    score_spec: Digest | None = None
    campaign: CampaignRef | None = None

    @field_validator("init_time")
    @classmethod
    def _cycle(cls, value: datetime) -> datetime:
        utc = value.astimezone(UTC)
        if utc.hour % 6 or utc.minute or utc.second or utc.microsecond:
            raise ValueError(f"init_time must be 00, 06, 12 or 18 UTC on the hour, found {utc.isoformat()}")
        return utc

    @model_validator(mode="after")
    def _one_purpose(self) -> Self:
        if self.purpose is not None and (self.purpose == "hindcast") != (self.campaign is not None):
            raise ValueError("a hindcast names its campaign and a live run has none")
        return self

    @property
    def run_purpose(self) -> Purpose:
        """`hindcast` if the run belongs to a campaign."""
        return "hindcast" if self.campaign else "live"

    @property
    def workflow_id(self) -> str:
        """The business key: the only id under which this run may be played."""
        return names.run_id(self.init_time, self.campaign.name if self.campaign else None)


class Run(Message):
    """A run with every setting resolved, as fixed when it opened."""

    network: str
    run_id: str
    init_time: Instant
    purpose: Purpose
    grid: str
    layout_digest: Digest
    score_spec_digest: Digest
    day1_lead_hours: tuple[int, ...]
    final_lead_hours: tuple[int, ...]
    opened_at: Instant
    close_by: Instant
    seal_grace: timedelta
    truth_delay: timedelta
    heartbeat_timeout: timedelta
    round_pauses: tuple[timedelta, timedelta] = (timedelta(hours=1), timedelta(hours=5))
    attempt_pauses: tuple[timedelta, timedelta] = (timedelta(seconds=5), timedelta(seconds=60))
    miners_per_chunk: int = 8
    second_chance: timedelta = timedelta(0)
    held_by: str | None = None
    round_backend: bool = False

    def valid_time(self, lead_hours: int) -> datetime:
        """Init time plus lead."""
        return self.init_time + timedelta(hours=lead_hours)

    def truth_due(self, lead_hours: int) -> datetime:
        """When the truth of a lead is first asked for."""
        return self.valid_time(lead_hours) + self.truth_delay


class Inputs(Message):
    objects: Ref
    input_data_hash: Digest
    bundle_digest: Digest
    size_bytes: int


class Step(Message):
    """A step of a run, by its id; `at` is when the workflow takes it."""

    run_id: str
    at: Instant


class RunStep(Message):
    """A step that depends on how the run was opened."""

    run: Run
    at: Instant


class RosterMiner(Message):
    hotkey: Hotkey
    name: str


class Roster(Message):
    entries: Ref
    roster_digest: Digest
    miners: tuple[RosterMiner, ...]


class OpenCommitWindow(Message):
    run: Run
    inputs: Inputs
    roster_digest: Digest


class CommitWindow(Message):
    """The call and the instants that it fixes."""

    requested_at: Instant
    commit_deadline: Instant
    first_lead_hours: int | None
    call: Ref | None = None


class AdvanceRun(Step):
    to: str
    reason: str


class SettleAbsence(RunStep):
    """Asks whether everybody without a commitment is proved absent."""

    deadline: Instant
    moves: int


class AbsenceSettled(Message):
    """Proved; or the deadline moves for all; or it can move no more and the run is void."""

    proved: bool
    moved_to: Instant | None = None


class Sealed(Message):
    """All commitments of a sealed run, as one document."""

    commitments: Ref
    accepted: int


class Announce(Message):
    """Tells the waiting children of a run what was sealed, or that the deadline moved."""

    run_id: str
    hotkeys: tuple[Hotkey, ...]
    sealed: Sealed | None = None
    moved_to: Instant | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.sealed is None) is (self.moved_to is None):
            raise ValueError("what is announced is a seal or a moved deadline")
        return self


class AdoptChild(Message):
    workflow_id: str


class Adopted(Message):
    """Result of a completed child, or none if it must be started again."""

    result: dict[str, Any] | None


class MinerDeregistered(Message):
    """Signal: a hotkey left the registry; of its open runs nothing changes."""

    hotkey: Hotkey
    at: Instant
    block: int | None = None


class Deregistered(Message):
    run_id: str
    miner: MinerDeregistered


class Aggregated(Message):
    """What the run would be closed as; an operator may yet help a void one, or one in doubt."""

    outcome: Outcome
    coverage: str
    doubt: str | None = None


class CloseRun(Step):
    """`void_reason` if it cannot be scored at all, `overdue` if its workflow is gone."""

    void_reason: str | None = None
    overdue: bool = False
    fault: FaultNote | None = None


class ForecastRunResult(Message):
    """What a closed run is remembered by."""

    run_id: str
    outcome: Outcome
    outcome_reason: str
    coverage: str
    verified: int
    faults: int
    facts_digest: Digest
    faults_digest: Digest


class TriggerInput(Message):
    """Starts what is due at a nominal time: the run of the cycle, the removal of the day, or the revisions."""

    kind: Literal["forecast", "retention", "revisions", "weights"] = "forecast"
    at: Instant | None = None
    grid: str | None = None


class TriggerResult(Message):
    """What was started or joined; or all revisions that were started."""

    workflow_id: str | None = None
    joined: bool = False
    revisions: tuple[str, ...] = ()


class DeliverOutbox(Message):
    run_id: str


class OutboxDelivered(Message):
    """When the next row of an open run is due; none if nothing is left."""

    next_at: Instant | None
