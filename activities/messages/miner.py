"""Messages of `MinerForecast`."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

from activities.messages.base import Digest, FaultNote, Hotkey, Instant, Message, Ref
from activities.messages.run import Run, Step

Stage = Literal["received", "fetching", "inference", "writing", "error", "completed"]


class CommitmentRecorded(Message):
    """A stored commitment; also the signal of the validator's HTTP side."""

    commitment: Ref
    commitment_digest: Digest
    leaf_index: int
    in_time: bool
    receipt: Ref | None = None


class MinerForecastInput(Message):
    """One miner of one run, from call to verified manifest; a rerun is given the commitment to verify again."""

    run: Run
    hotkey: Hotkey
    name: str
    roster: Ref
    call: Ref
    commit_deadline: Instant
    generation: int = 1
    recorded: CommitmentRecorded | None = None


class MinerCall(Message):
    run_id: str
    hotkey: Hotkey
    roster: Ref
    call: Ref


class PollCommitment(MinerCall):
    """Asks until the stage differs from the one that is known."""

    known_stage: Stage
    commit_deadline: Instant


class MinerAnswer(Message):
    stage: Stage
    input_data_hash: Digest | None = None
    commitment: Ref | None = None
    received_at: Instant | None = None
    fault: FaultNote | None = None


class MinerStep(Step):
    """A step of one miner's part of a run."""

    hotkey: Hotkey


class RecordAnswer(MinerStep):
    answer: MinerAnswer


class RecordCommitment(Message):
    run_id: str
    hotkey: Hotkey
    commitment: Ref
    received_at: Instant


class DeadlineMoved(Message):
    """Signal: a fault of ours moved the commit deadline for all miners."""

    to: Instant


class LastWord(MinerStep):
    """What the last exchange before the deadline said of a miner without a commitment."""

    fault: FaultNote


class MinerSealed(Message):
    """Signal: the commit window is closed; with the stored commitment if there is one."""

    recorded: CommitmentRecorded | None = None


class DeliverReceipt(MinerCall):
    receipt: Ref


class VerifyManifest(MinerCall):
    """One round of manifest and metadata checks, whose attempts are so far apart."""

    attempt_pauses: tuple[timedelta, timedelta] = (timedelta(seconds=5), timedelta(seconds=60))
    commitment: Ref


class ManifestVerified(Message):
    """What a round of checks ended with: the verified store, or a fault."""

    store: Ref | None = None
    fault: FaultNote | None = None
    final: bool = True


class SettleMiner(MinerStep):
    generation: int = 1
    store: Ref | None = None
    fault: FaultNote | None = None


class MinerForecastResult(Message):
    hotkey: Hotkey
    outcome: Literal["verified", "fault"]
    store: Ref | None = None
    fault: FaultNote | None = None
