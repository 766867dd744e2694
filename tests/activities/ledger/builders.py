"""Values of one run, as the tests write them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from adapters.ledger.roster import freeze_roster
from adapters.ledger.runs import open_run
from adapters.ledger.tables.runs import EventRow, ForecastRunRow
from adapters.ledger.values import (
    Closing,
    FaultRecord,
    ReceivedCommitment,
    RoundScore,
    ScoreFact,
)
from protocol.commitment import Commitment
from protocol.identity import PrivateKey
from protocol.names import job_id
from protocol.registry import RosterEntry

RUN = "forecast/2026-11-22T18Z"
T0 = datetime(2026, 11, 22, 18, tzinfo=UTC)
OPENED = T0 + timedelta(hours=3, minutes=30)
VALIDATOR = PrivateKey.from_bytes(bytes([2]) * 32)
MINER = PrivateKey.from_bytes(bytes([1]) * 32)
SUMS = {"W": 1.0, "D": -0.0, "A": 0.1, "D2": 1 / 3, "P": 5e-324, "Q": -1e300, "P2": 2.0, "Q2": 3.0, "PQ": 1.5}


def new_run(**changes: Any) -> ForecastRunRow:
    values = {
        "network": "test",
        "run_id": RUN,
        "validator_hotkey": VALIDATOR.hotkey,
        "purpose": "live",
        "init_time": T0,
        "grid": "5p625",
        "layout_digest": "a" * 64,
        "score_spec_digest": "b" * 64,
        "case_set_digest": "c" * 64,
        "close_by": T0 + timedelta(seconds=2_181_600),
        "opened_at": OPENED,
        "config": {"miners_per_chunk": 8},
    }
    return ForecastRunRow(**values | changes)


def set_window(session: Session, run_id: str, **changes: Any) -> ForecastRunRow:
    """Fix the call of a run, as its opening does."""
    run, values = (
        session.get_one(ForecastRunRow, run_id),
        {
            "requested_at": OPENED,
            "commit_deadline": OPENED + timedelta(hours=1),
            "first_lead_hours": 6,
            "call_digest": "d" * 64,
            "call_document": "c" * 64,
            "input_data_hash": "e" * 64,
            "bundle_digest": "f" * 64,
        },
    )
    for name, value in (values | changes).items():
        setattr(run, name, value)
    return run


def entry(hotkey: str, number: int = 0) -> RosterEntry:
    base_url = f"https://miner.example/{number}"
    return RosterEntry(hotkey=hotkey, uid=None, name=f"miner-{number}", base_url=base_url, tls_sha256=None)


def prepare(session: Session, *hotkeys: str) -> None:
    """An open run with its roster."""
    open_run(session, new_run())
    freeze_roster(session, RUN, [entry(hotkey, number) for number, hotkey in enumerate(hotkeys)], "9" * 64)


def commitment(hotkey: str = MINER.hotkey, root: str = "5" * 64) -> Commitment:
    return Commitment(
        network="test",
        run_id=RUN,
        init_time=T0,
        job_id=job_id("test", RUN, hotkey),
        hotkey=hotkey,
        grid="5p625",
        layout_digest="a" * 64,
        score_spec_digest="b" * 64,
        input_data_hash="e" * 64,
        root=root,
        object_count=3,
        total_bytes=12_000_000_000,
        salt="4" * 64,
    )


def received(hotkey: str = MINER.hotkey, root: str = "5" * 64, at: datetime = OPENED) -> ReceivedCommitment:
    return ReceivedCommitment(commitment=commitment(hotkey, root), signature="7" * 128, received_at=at, channel="push")


def fact(**changes: Any) -> ScoreFact:
    values = {
        "run_id": RUN,
        "hotkey": MINER.hotkey,
        "pass_": "era5_final",
        "lead_hours": 24,
        "variable": "z",
        "level": 500,
        "spec_digest": "b" * 64,
        "truth_version": "era5t",
        "kind": "live",
        "valid_time": T0 + timedelta(hours=24),
        "forecast_digest": "1" * 64,
        "truth_digest": "2" * 64,
        "climatology_digest": "3" * 64,
        "sums": SUMS,
        "score": 0.1 + 0.2,
        "kernel_order": "four-rows/1",
        "package_version": "0.1.0",
        "scored_at": T0 + timedelta(days=8),
    }
    return ScoreFact.model_validate(values | changes)


def fault(**changes: Any) -> FaultRecord:
    values = {
        "run_id": RUN,
        "hotkey": MINER.hotkey,
        "code": "NoCommitment",
        "cause": "miner",
        "effect": "W",
        "detail": "none by the deadline",
        "attempts": [{"at": "2026-11-22T22:00:00Z", "found": "processing"}],
        "recorded_at": T0 + timedelta(hours=5),
    }
    return FaultRecord.model_validate(values | changes)


def closing(**changes: Any) -> Closing:
    values = {
        "outcome": "closed",
        "reason": "complete",
        "coverage": "1/1",
        "facts_digest": "1" * 64,
        "faults_digest": "2" * 64,
        "scores": [RoundScore(hotkey=MINER.hotkey, score_nano=10**9, rank=1)],
        "lead_scores": {(MINER.hotkey, 24): 5},
        "closed_at": T0 + timedelta(days=17),
    }
    return Closing.model_validate(values | changes)


def events_of(session: Session, run_id: str) -> list[EventRow]:
    """All events of a run, its miners and its passes, in order of time."""
    chosen = (EventRow.subject == run_id) | EventRow.subject.startswith(f"{run_id}/", autoescape=True)
    return list(session.scalars(select(EventRow).where(chosen).order_by(EventRow.time, EventRow.id)))
