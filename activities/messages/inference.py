"""What `MinerJob` and the miner's activities say to each other."""

from __future__ import annotations

from datetime import datetime, timedelta

from pydantic import BaseModel, ConfigDict


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class MinerJobInput(_Message):
    """One forecast of one miner; the call itself stands in the miner's job table under `job_id`.

    `hold_back` keeps the commitment unsigned until so long after the deadline.
    """

    job_id: str
    hotkey: str
    run_id: str
    name: str = ""
    hold_back: timedelta | None = None


class Requested(_Message):
    """A validator wants this forecast by its deadline, and its objects until `retain_until`."""

    validator: str
    deadline: datetime
    retain_until: datetime


class FetchedInputs(_Message):
    input_data_hash: str
    fields: int


class Inferred(_Message):
    leads: int


class WrittenStore(_Message):
    root: str
    object_count: int
    total_bytes: int


class SignedCommitment(_Message):
    commitment_digest: str


class SubmitCommitment(_Message):
    job: MinerJobInput
    validator: str


class Submission(_Message):
    """A validator's receipt in short, or the code with which it was given up."""

    validator: str
    leaf_index: int | None = None
    in_time: bool | None = None
    code: str | None = None


class Expired(_Message):
    objects: int


class JobStatus(_Message):
    stage: str
    deadline: datetime | None = None
    retain_until: datetime | None = None
    validators: tuple[str, ...] = ()
    submissions: tuple[Submission, ...] = ()


class MinerJobResult(_Message):
    commitment_digest: str
    total_bytes: int
    submissions: tuple[Submission, ...]
