"""Rounds that are past their time: whoever has no workflow any more is closed on what is recorded."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode

from activities.messages.run import CloseRun, ForecastRunInput
from activities.messages.weights import OverdueSettled
from activities.run_opening import LedgerRunOpening
from activities.run_records import LedgerRunRecords
from adapters.ledger.engine import Ledger
from adapters.ledger.tables.runs import ForecastRunRow


@dataclass(frozen=True)
class OverdueRounds:
    """The same opening and closing as that of a run which is there."""

    ledger: Ledger
    opening: LedgerRunOpening
    records: LedgerRunRecords
    client: Client
    cadence: timedelta

    async def settle(self, as_of: datetime, at: datetime) -> OverdueSettled:
        """Close what nobody else will, and write down the cycles that were never opened."""
        closed, waiting = [], []
        for run_id, void_reason in await asyncio.to_thread(self._unclosed, as_of):
            if await self._is_open(run_id):
                waiting.append(run_id)
                continue
            close = CloseRun(run_id=run_id, at=at, overdue=True, void_reason=void_reason)
            await asyncio.to_thread(self.records.close_run, close)
            closed.append(run_id)
        closed += await asyncio.to_thread(self._write_down_never_opened, as_of, at)
        return OverdueSettled(closed=tuple(closed), waiting=tuple(waiting))

    async def _is_open(self, run_id: str) -> bool:
        try:
            described = await self.client.get_workflow_handle(run_id).describe()
        except RPCError as error:
            if error.status == RPCStatusCode.NOT_FOUND:
                return False
            raise
        return described.status == WorkflowExecutionStatus.RUNNING

    def _unclosed(self, as_of: datetime) -> list[tuple[str, str | None]]:
        """Each with the reason to void it: one without a roster never ran."""
        late = (ForecastRunRow.close_by < as_of) & ForecastRunRow.closed_at.is_(None)
        live = select(ForecastRunRow).where(ForecastRunRow.purpose == "live", late).order_by(ForecastRunRow.init_time)
        with self.ledger.begin() as session:
            return [(row.run_id, None if row.roster_digest else "not_run") for row in session.scalars(live)]

    def _write_down_never_opened(self, as_of: datetime, at: datetime) -> list[str]:
        """Void rows of the cycles after the first round, up to the last one that is overdue."""
        with self.ledger.begin() as session:
            live = select(ForecastRunRow).where(ForecastRunRow.purpose == "live").order_by(ForecastRunRow.init_time)
            rows = {row.init_time: row for row in session.scalars(live)}
        if not rows:
            return []
        first = next(iter(rows))
        limit = as_of - (rows[first].close_by - first)
        count = max(0, (limit - first) // self.cadence + 1)
        missing = [cycle for n in range(count) if (cycle := first + n * self.cadence) not in rows]
        return [self._never_opened(cycle, at) for cycle in missing]

    def _never_opened(self, init_time: datetime, at: datetime) -> str:
        run = self.opening.open_run(ForecastRunInput(init_time=init_time))
        self.records.close_run(CloseRun(run_id=run.run_id, at=at, void_reason="not_run"))
        return run.run_id
