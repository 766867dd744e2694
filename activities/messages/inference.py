"""What `MinerJob` and the miner's activities say to each other."""

from __future__ import annotations

from datetime import timedelta

from activities.messages.base import Digest, FaultNote, Hotkey, Instant, Message


class MinerJobInput(Message):
    """One forecast of one miner; the call itself stands in the miner's job table under `job_id`.

    `hold_back` keeps the commitment unsigned until so long after the deadline.
    """

    job_id: str
    hotkey: Hotkey
    run_id: str
    name: str = ""
    hold_back: timedelta | None = None


class Requested(Message):
    """A validator wants this forecast by its deadline, and its objects until `retain_until`."""

    validator: Hotkey
    deadline: Instant
    retain_until: Instant


class FetchedInputs(Message):
    input_data_hash: Digest
    fields: int


class Inferred(Message):
    leads: int


class WrittenStore(Message):
    root: Digest
    object_count: int
    total_bytes: int


class SignedCommitment(Message):
    commitment_digest: Digest


class SubmitCommitment(Message):
    job: MinerJobInput
    validator: Hotkey


class Submission(Message):
    """A validator's receipt in short, or why it was given up."""

    validator: Hotkey
    leaf_index: int | None = None
    in_time: bool | None = None
    fault: FaultNote | None = None


class Expired(Message):
    objects: int


class JobStatus(Message):
    stage: str
    deadline: Instant | None = None
    retain_until: Instant | None = None
    validators: tuple[str, ...] = ()
    submissions: tuple[Submission, ...] = ()


class MinerJobResult(Message):
    commitment_digest: Digest
    total_bytes: int
    submissions: tuple[Submission, ...]
