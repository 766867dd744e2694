"""`Rounds` on the ledger, the registry and Temporal: what an epoch asks of open runs before it counts them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime

from temporalio import activity
from temporalio.service import RPCError, RPCStatusCode

from activities import attempts
from activities.messages.run import MinerDeregistered
from activities.messages.weights import Epoch, EpochStep, OverdueSettled, RegistryCompared
from activities.overdue import OverdueRounds
from adapters.ledger.roster import observe, unannounced
from protocol.registry import Registry


class LedgerRounds:
    """The ledger is asked in threads."""

    def __init__(self, overdue: OverdueRounds, registry: Callable[[], Registry], genesis: datetime) -> None:
        self._overdue, self._registry, self._genesis = overdue, registry, genesis

    @activity.defn
    async def settle_overdue(self, request: EpochStep) -> OverdueSettled:
        """End each live round past its `close_by`, on what is recorded."""
        async with attempts.beating():
            return await self._overdue.settle(request.epoch.as_of, request.at)

    @activity.defn
    async def compare_registry(self, request: EpochStep) -> RegistryCompared:
        """Keep who is registered, and signal open runs that a member of their roster is not any more."""
        async with attempts.beating():
            registered, gone = await asyncio.to_thread(self._observe, request.epoch)
            for run_id, hotkey in gone:
                await self._signal(run_id, MinerDeregistered(hotkey=hotkey, at=request.epoch.as_of))
        return RegistryCompared(registered=registered, signals=len(gone))

    def _observe(self, epoch: Epoch) -> tuple[int, list[tuple[str, str]]]:
        enabled = {each.hotkey: each.valid_from for each in self._registry().miners if each.enabled}
        with self._overdue.ledger.begin() as session:
            observe(session, epoch.network, enabled, at=epoch.as_of, always=self._genesis)
            return len(enabled), unannounced(session, epoch.network, enabled)

    async def _signal(self, run_id: str, gone: MinerDeregistered) -> None:
        try:
            await self._overdue.client.get_workflow_handle(run_id).signal("miner_deregistered", gone)
        except RPCError as error:
            if error.status != RPCStatusCode.NOT_FOUND:
                raise
