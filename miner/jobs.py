"""The miner's own table of forecasts, `weather_miner_jobs`, one row a job, and the receipts it got."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import (
    CheckConstraint,
    Column,
    ForeignKey,
    MetaData,
    Row,
    String,
    Table,
    Text,
    select,
    text,
    update,
)
from sqlalchemy.dialects.sqlite import insert

from miner.database import Database
from protocol.messages import CommitmentData, ForecastRequestData

Status = Literal["received", "processing", "completed", "error"]
Stage = Literal["fetching", "inference", "writing"]
JOINED_BY = ("hotkey", "network", "run_id", "gfs_init_time", "grid", "layout_digest", "score_spec_digest")

_metadata = MetaData()
_jobs = Table(
    "weather_miner_jobs",
    _metadata,
    Column("job_id", String(36), primary_key=True),
    *(Column(name, String(100), nullable=False) for name in JOINED_BY),
    Column("input_data_hash", String(64), nullable=False),
    Column("call", Text, nullable=False),
    Column("received_at", String(40), nullable=False),
    Column("status", String(16), nullable=False, server_default="received"),
    Column("stage", String(16), nullable=False, server_default="fetching"),
    Column("error_code", String(32)),
    Column("error_detail", String(500)),
    Column("commitment", Text),
    Column("signature", String(128)),
    Column("expired_at", String(40)),
    CheckConstraint("status IN ('received', 'processing', 'completed', 'error')", name="status_known"),
    CheckConstraint("(status = 'completed') <= (commitment IS NOT NULL)", name="completed_means_signed"),
)
_receipts = Table(
    "weather_miner_receipts",
    _metadata,
    Column("job_id", ForeignKey("weather_miner_jobs.job_id"), primary_key=True),
    Column("validator", String(64), primary_key=True),
    Column("answer", Text, nullable=False),
)


class OtherJob(Exception):
    """The job_id is taken by a call with other content (problem `JobConflict`)."""


@dataclass(frozen=True)
class Job:
    """One row; `call` is the JSON of the call's data, `commitment` that of the commitment."""

    job_id: str
    hotkey: str
    network: str
    run_id: str
    gfs_init_time: str
    grid: str
    layout_digest: str
    score_spec_digest: str
    input_data_hash: str
    call: str
    received_at: str
    status: Status = "received"
    stage: Stage = "fetching"
    error_code: str | None = None
    error_detail: str | None = None
    commitment: str | None = None
    signature: str | None = None
    expired_at: str | None = None

    @property
    def offer(self) -> CommitmentData | None:
        """The commitment as it travels, once it is signed."""
        if self.commitment is None or self.signature is None:
            return None
        return CommitmentData(commitment=json.loads(self.commitment), signature=self.signature)


def job_of(call: ForecastRequestData, hotkey: str, received_at: datetime) -> Job:
    """The row that a call makes."""
    value = call.value
    return Job(
        call=call.body.decode(),
        hotkey=hotkey,
        received_at=received_at.isoformat(),
        **{name: value[name] for name in ("job_id", *JOINED_BY, "input_data_hash") if name != "hotkey"},
    )


class Jobs:
    """The table in the host's SQLite file; blocking."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.database.make(_metadata)
        self._begin = self.database.begin

    def probe(self) -> None:
        """Write and read once, or `LedgerUnavailable`."""
        with self._begin() as connection:
            connection.execute(text("PRAGMA user_version = 1"))
            connection.execute(text("PRAGMA user_version")).scalar_one()

    def close(self) -> None:
        self.database.close()

    def receive(self, job: Job) -> tuple[Job, bool]:
        """Insert the job or join the one that is there; also whether it is new.

        Raises:
            OtherJob: the one that is there differs in what jobs are joined by.
        """
        values = {name: getattr(job, name) for name in ("job_id", *JOINED_BY, "input_data_hash", "call", "received_at")}
        with self._begin() as connection:
            created = connection.execute(insert(_jobs).values(values).on_conflict_do_nothing()).rowcount == 1
            stored = _job(connection.execute(select(_jobs).where(_jobs.c.job_id == job.job_id)).one())
        for name in JOINED_BY:
            if getattr(stored, name) != getattr(job, name):
                raise OtherJob(f"{name} is {getattr(job, name)}, the job has {getattr(stored, name)}")
        return stored, created

    def get(self, job_id: str) -> Job | None:
        with self._begin() as connection:
            row = connection.execute(select(_jobs).where(_jobs.c.job_id == job_id)).one_or_none()
        return None if row is None else _job(row)

    def enter(self, job_id: str, stage: Stage) -> None:
        """The job is being worked at; an error before is over. A signed job stays completed."""
        self._update(job_id, _jobs.c.commitment.is_(None), status="processing", stage=stage, error_code=None)

    def fail(self, job_id: str, code: str, detail: str) -> None:
        unsigned = _jobs.c.commitment.is_(None)
        self._update(job_id, unsigned, status="error", error_code=code, error_detail=detail[:500])

    def sign(self, job_id: str, commitment: str, signature: str) -> str:
        """Keep the commitment durably; the first one stands and is returned."""
        unsigned = _jobs.c.commitment.is_(None)
        self._update(job_id, unsigned, commitment=commitment, signature=signature, status="completed", error_code=None)
        with self._begin() as connection:
            return connection.execute(select(_jobs.c.commitment).where(_jobs.c.job_id == job_id)).scalar_one()

    def keep_receipt(self, job_id: str, validator: str, answer: str) -> None:
        with self._begin() as connection:
            row = {"job_id": job_id, "validator": validator, "answer": answer}
            connection.execute(insert(_receipts).values(row).on_conflict_do_nothing())

    def receipt(self, job_id: str, validator: str) -> str | None:
        keys = (_receipts.c.job_id == job_id) & (_receipts.c.validator == validator)
        with self._begin() as connection:
            return connection.execute(select(_receipts.c.answer).where(keys)).scalar_one_or_none()

    def expire(self, job_id: str, at: datetime) -> None:
        self._update(job_id, _jobs.c.expired_at.is_(None), expired_at=at.isoformat())

    def _update(self, job_id: str, condition: Any, **values: object) -> None:
        with self._begin() as connection:
            connection.execute(update(_jobs).where(_jobs.c.job_id == job_id, condition).values(values))


def _job(row: Row[Any]) -> Job:
    return Job(**row._mapping)
