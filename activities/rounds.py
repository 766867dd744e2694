"""What an epoch asks of open runs before it counts them: who is past his time ends, who left the registry is told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select
from temporalio import activity
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode

from activities import attempts
from activities.messages.run import CloseRun, ForecastRunInput, MinerDeregistered
from activities.messages.weights import Epoch, EpochStep, OverdueSettled, RegistryCompared
from activities.run_opening import LedgerRunOpening
from activities.run_records import LedgerRunRecords
from adapters.ledger.engine import Ledger
from adapters.ledger.roster import observe, unannounced
from adapters.ledger.tables.runs import ForecastRunRow
from adapters.temporal_client import signal
from protocol.registry import Registry


@dataclass(frozen=True)
class LedgerRounds:
    """Opens and closes as a run does that is there; the ledger is asked in threads."""

    ledger: Ledger
    client: Client
    opening: LedgerRunOpening
    records: LedgerRunRecords
    registry: Callable[[], Registry]
    genesis: datetime
    cadence: timedelta

    @activity.defn
    async def settle_overdue(self, request: EpochStep) -> OverdueSettled:
        """End each live round past its `close_by`, on what is recorded."""
        async with attempts.beating():
            return await self.settle(request.epoch.as_of, request.at)

    @activity.defn
    async def compare_registry(self, request: EpochStep) -> RegistryCompared:
        """Keep who is registered, and signal open runs that a member of their roster is not any more."""
        async with attempts.beating():
            registered, gone = await asyncio.to_thread(self._observe, request.epoch)
            for run_id, hotkey in gone:
                left = MinerDeregistered(hotkey=hotkey, at=request.epoch.as_of)
                await signal(self.client, run_id, "miner_deregistered", left)
        return RegistryCompared(registered=registered, signals=len(gone))

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

    def _observe(self, epoch: Epoch) -> tuple[int, list[tuple[str, str]]]:
        enabled = {each.hotkey: each.valid_from for each in self.registry().miners if each.enabled}
        with self.ledger.begin() as session:
            observe(session, epoch.network, enabled, at=epoch.as_of, always=self.genesis)
            return len(enabled), unannounced(session, epoch.network, enabled)

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
        rows = [row for row in self._live() if row.close_by < as_of and row.closed_at is None]
        return [(row.run_id, None if row.roster_digest else "not_run") for row in rows]

    def _write_down_never_opened(self, as_of: datetime, at: datetime) -> list[str]:
        """Void rows of the cycles after the first round, up to the last one that is overdue."""
        rows = {row.init_time: row for row in self._live()}
        if not rows:
            return []
        first = next(iter(rows))
        limit = as_of - (rows[first].close_by - first)
        count = max(0, (limit - first) // self.cadence + 1)
        missing = [cycle for n in range(count) if (cycle := first + n * self.cadence) not in rows]
        return [self._never_opened(cycle, at) for cycle in missing]

    def _live(self) -> list[ForecastRunRow]:
        live = select(ForecastRunRow).where(ForecastRunRow.purpose == "live").order_by(ForecastRunRow.init_time)
        with self.ledger.read() as session:
            return list(session.scalars(live))

    def _never_opened(self, init_time: datetime, at: datetime) -> str:
        run = self.opening.open_run(ForecastRunInput(init_time=init_time))
        self.records.close_run(CloseRun(run_id=run.run_id, at=at, void_reason="not_run"))
        return run.run_id
