"""A validator that tells the reference backend of its runs, as the tests write it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from sqlalchemy import select
from temporalio.testing import ActivityEnvironment

from activities.messages.run import DeliverOutbox
from activities.outbox import LedgerOutbox
from adapters.ledger import outbox, runs
from adapters.ledger.engine import Ledger
from adapters.ledger.tables.runs import OutboxRow
from adapters.round_backend import RoundBackend
from protocol.names import job_id, run_id
from protocol.round_backend import Operation, body_sha256
from tests.activities.ledger.builders import OPENED, RUN, T0, closing, new_run
from tests.fixed_clock import FixedClock
from tests.reference_backend import ReferenceBackend
from weather.faults import SinkUnavailable

TOKEN = "t0ken"
CLOSED = T0 + timedelta(days=17)


def evaluation(number: int) -> tuple[Operation, str, dict[str, Any]]:
    item = f"ce244283-4c13-5d50-8d4a-{number:012d}"
    return "add_evaluation", item, {"evaluation_id": item, "score": number}


@cache
def client(url: str | None, token: str | None) -> RoundBackend | None:
    """Costly to make: it reads the trust store."""
    return RoundBackend(url, token) if url else None


@dataclass
class Teller:
    ledger: Ledger
    backend: ReferenceBackend
    url: str | None
    token: str | None = TOKEN
    clock: FixedClock = field(default_factory=lambda: FixedClock(OPENED))

    def open(self, number: int = 0) -> str:
        """A run on another day for each number, with its first row."""
        init_time = T0 - timedelta(days=number)
        run = run_id(init_time)
        with self.ledger.begin() as session:
            runs.open_run(session, new_run(run_id=run, init_time=init_time))
        self.tell(("start_round", "1", {"opens_at": "now"}), run=run)
        return run

    def tell(self, *told: tuple[Operation, str, Mapping[str, object]], run: str = RUN) -> None:
        with self.ledger.begin() as session:
            row = runs.changed_run(session, run)
            for operation, item, body in told:
                outbox.enqueue(session, row, operation, item, dict(body))

    def agents(self, count: int, run: str = RUN) -> None:
        self.tell(*(("start_agent_run", job_id("test", run, f"{n}"), {"uid": n}) for n in range(count)), run=run)

    def evaluations(self, count: int, run: str = RUN) -> None:
        self.tell(*map(evaluation, range(count)), run=run)

    def close(self, run: str = RUN) -> None:
        void = closing(outcome="void", reason="operator", coverage="0/1", scores=[], lead_scores={}, closed_at=CLOSED)
        with self.ledger.begin() as session:
            runs.close_run(session, run, void)

    def deliver(self, run: str = RUN, *, proves: bool = True) -> datetime | None:
        """One delivery; when the next is due, whether it was answered or is Temporal's to retry."""
        activity = LedgerOutbox(self.ledger, client(self.url, self.token), self.clock).deliver_outbox
        try:
            next_at = ActivityEnvironment().run(activity, DeliverOutbox(run_id=run)).next_at
        except SinkUnavailable as unavailable:
            assert unavailable.retry_after is not None
            next_at = self.clock.now() + unavailable.retry_after
        if proves:
            self.prove()
        return next_at

    def until(self, instant: datetime | None) -> None:
        assert instant is not None
        self.clock.advance(max(instant - self.clock.now(), timedelta(0)))

    def rows(self, run: str = RUN) -> list[OutboxRow]:
        with self.ledger.read() as session:
            chosen = select(OutboxRow).where(OutboxRow.run_id == run).order_by(OutboxRow.operation, OutboxRow.item)
            return list(session.scalars(chosen))

    def row(self, operation: Operation, run: str = RUN) -> OutboxRow:
        return next(row for row in self.rows(run) if row.operation == operation)

    def states(self, operation: Operation, run: str = RUN) -> list[str]:
        return [row.state for row in self.rows(run) if row.operation == operation]

    def held(self) -> dict[str, str]:
        """Digest by key of all that the backend holds, as a new connection sees it."""
        with self.backend.connected() as connection:
            return dict(connection.execute("SELECT key, body_sha256 FROM resources").fetchall())

    def prove(self) -> None:
        """Whatever is stored here is held there."""
        with self.ledger.read() as session:
            stored = session.scalars(select(OutboxRow).where(OutboxRow.state == "stored")).all()
        held = self.held()
        assert {row.key: held.get(row.key) for row in stored} == {
            row.key: body_sha256(row.body.encode()) for row in stored
        }
