"""The SQLite file of a miner host: `weather_miner_jobs`, one row a forecast, and the receipts it got."""

from __future__ import annotations

import json
from collections.abc import Generator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Literal

from sqlalchemy import CheckConstraint, ForeignKey, MetaData, Text, text, update
from sqlalchemy.orm import Mapped, MappedAsDataclass, Session, mapped_column

from adapters.ledger.engine import open_engine, translated
from adapters.ledger.rows import insert_if_absent
from adapters.ledger.tables.base import Row
from protocol.messages import CommitmentData, ForecastRequestData
from weather.faults import LedgerConflict

Status = Literal["received", "processing", "completed", "error"]
Stage = Literal["fetching", "inference", "writing"]
JOINED_BY = ("hotkey", "network", "run_id", "gfs_init_time", "grid", "layout_digest", "score_spec_digest")


class OtherJob(Exception):
    """The job_id is taken by a call with other content (problem `JobConflict`)."""


class MinerRow(MappedAsDataclass, Row):
    """Root of the rows that a miner keeps."""

    __abstract__ = True
    metadata = MetaData()


class Job(MinerRow):
    """One row; `call` is the JSON of the call's data, `commitment` that of the commitment."""

    __tablename__ = "weather_miner_jobs"
    __table_args__ = (
        CheckConstraint("status IN ('received', 'processing', 'completed', 'error')", name="status_known"),
        CheckConstraint("(status = 'completed') <= (commitment IS NOT NULL)", name="completed_means_signed"),
    )

    job_id: Mapped[str] = mapped_column(primary_key=True)
    hotkey: Mapped[str]
    network: Mapped[str]
    run_id: Mapped[str]
    gfs_init_time: Mapped[str]
    grid: Mapped[str]
    layout_digest: Mapped[str]
    score_spec_digest: Mapped[str]
    input_data_hash: Mapped[str]
    call: Mapped[str]
    received_at: Mapped[str]
    status: Mapped[Status] = mapped_column(Text, default="received")
    stage: Mapped[Stage] = mapped_column(Text, default="fetching")
    error_code: Mapped[str | None] = mapped_column(default=None)
    error_detail: Mapped[str | None] = mapped_column(default=None)
    commitment: Mapped[str | None] = mapped_column(default=None)
    signature: Mapped[str | None] = mapped_column(default=None)
    expired_at: Mapped[str | None] = mapped_column(default=None)

    @property
    def offer(self) -> CommitmentData | None:
        """The commitment as it travels, once it is signed."""
        if self.commitment is None or self.signature is None:
            return None
        return CommitmentData(commitment=json.loads(self.commitment), signature=self.signature)


class Receipt(MinerRow):
    """What a validator answered to the commitment of a job."""

    __tablename__ = "weather_miner_receipts"

    job_id: Mapped[str] = mapped_column(ForeignKey(Job.job_id), primary_key=True)
    validator: Mapped[str] = mapped_column(primary_key=True)
    answer: Mapped[str]


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
    """The file, made if it is not there, after the modules that define rows were imported; blocking."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._engine = open_engine(f"sqlite:///{folder / 'miner.sqlite'}")
        MinerRow.metadata.create_all(self._engine)

    def close(self) -> None:
        self._engine.dispose()

    @contextmanager
    def begin(self) -> Generator[Session]:
        """One transaction."""
        session = Session(self._engine, expire_on_commit=False)
        with translated("in the miner's database"), session, session.begin():
            yield session

    def probe(self) -> None:
        """Write and read once, or `LedgerUnavailable`."""
        with self.begin() as session:
            session.execute(text("PRAGMA user_version = 1"))
            session.execute(text("PRAGMA user_version")).scalar_one()

    def receive(self, job: Job) -> tuple[Job, bool]:
        """Insert the job or join the one that is there; also whether it is new.

        Raises:
            OtherJob: the one that is there differs in what jobs are joined by.
        """
        try:
            with self.begin() as session:
                return insert_if_absent(session, job, JOINED_BY)
        except LedgerConflict as other:
            raise OtherJob(str(other)) from other

    def get(self, job_id: str) -> Job | None:
        with self.begin() as session:
            return session.get(Job, job_id)

    def enter(self, job_id: str, stage: Stage) -> None:
        """The job is being worked at; an error before is over."""
        self._change_unsigned(job_id, status="processing", stage=stage, error_code=None)

    def fail(self, job_id: str, code: str, detail: str) -> None:
        self._change_unsigned(job_id, status="error", error_code=code, error_detail=detail[:500])

    def sign(self, job_id: str, commitment: str, signature: str) -> str:
        """Keep the commitment durably; the first one stands and is returned."""
        signed = {"commitment": commitment, "signature": signature}
        self._change_unsigned(job_id, status="completed", error_code=None, **signed)
        with self.begin() as session:
            return session.get_one(Job, job_id).commitment or ""

    def keep_receipt(self, job_id: str, validator: str, answer: str) -> None:
        """The first one of a validator stands."""
        with self.begin() as session:
            insert_if_absent(session, Receipt(job_id, validator, answer))

    def receipt(self, job_id: str, validator: str) -> str | None:
        with self.begin() as session:
            found = session.get(Receipt, (job_id, validator))
        return found.answer if found else None

    def expire(self, job_id: str, at: datetime) -> None:
        with self.begin() as session:
            unexpired = (Job.job_id == job_id) & Job.expired_at.is_(None)
            session.execute(update(Job).where(unexpired).values(expired_at=at.isoformat()))

    def _change_unsigned(self, job_id: str, **values: str | None) -> None:
        """A signed job stays as it is."""
        with self.begin() as session:
            session.execute(update(Job).where(Job.job_id == job_id, Job.commitment.is_(None)).values(values))
