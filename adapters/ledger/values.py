"""What goes into the ledger and comes out of it, free of SQLAlchemy."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from protocol.commitment import Commitment
from protocol.facts import FaultRecord as FaultRecord
from protocol.facts import ScoreFact as ScoreFact
from protocol.log import SignedHead
from protocol.receipt import CommitmentAnswer, Receipt
from weather.round_score import Outcome

Reason = Literal[
    "complete", "partial", "coverage", "empty_roster", "no_lead", "ingress", "operator", "review", "not_run"
]


class Value(BaseModel):
    """A frozen value that refuses members it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ResponseStep(Value):
    """One miner's row moves to `to`; a terminal failure carries its code."""

    run_id: str
    hotkey: str
    to: str
    at: AwareDatetime
    code: str | None = None
    detail: str = ""
    found: str | None = None
    expected: str | None = None
    input_data_hash: str | None = None
    manifest_digest: str | None = None


class JobStep(Value):
    """A scoring job moves to `to`; a failed one carries its code."""

    run_id: str
    score_type: Literal["day1_qc", "era5_final"]
    lead_hours: int = 0
    generation: int = 1
    to: Literal["queued", "in_progress", "completed", "failed"]
    at: AwareDatetime
    code: str | None = None


class ReceivedCommitment(Value):
    """A checked commitment and how it came."""

    commitment: Commitment
    signature: str
    received_at: AwareDatetime
    channel: Literal["push", "pull"]


class RecordedCommitment(Value):
    """A commitment as the ledger holds it.

    `created` is whether this call stored it, `stood` whether another one was refused because of it.
    """

    commitment: Commitment
    signature: str
    receipt: Receipt
    receipt_signature: str
    head: SignedHead
    inclusion_proof: tuple[str, ...]
    created: bool = False
    stood: bool = False

    @property
    def commitment_digest(self) -> str:
        return self.receipt.entry.commitment_digest

    @property
    def leaf_index(self) -> int:
        return self.receipt.leaf_index

    @property
    def received_at(self) -> datetime:
        return self.receipt.entry.received_at

    def answer(self, commit_deadline: datetime) -> CommitmentAnswer:
        """What the miner is told."""
        return CommitmentAnswer(
            receipt=self.receipt,
            receipt_signature=self.receipt_signature,
            **dict(self.head),
            inclusion_proof=self.inclusion_proof,
            in_time=self.received_at <= commit_deadline,
        )


class RoundScore(Value):
    """One miner's score of a run; without a rank it takes no part in the order."""

    hotkey: str
    score_nano: int = Field(ge=0, le=10**9)
    rank: int | None = Field(ge=1)
    code: str | None = None


class Closing(Value):
    """What was decided from the facts; `coverage` is an exact fraction such as `7/10`.

    `lead_scores` of the final pass are by hotkey and lead in hours, `group_scores` by hotkey and group, both in nano.
    """

    outcome: Outcome
    reason: Reason
    coverage: str = Field(pattern=r"^\d+/[1-9]\d*$")
    facts_digest: str
    faults_digest: str
    scores: list[RoundScore] = []
    lead_scores: dict[tuple[str, int], int] = {}
    group_scores: dict[tuple[str, str], int] = {}
    closed_at: AwareDatetime
