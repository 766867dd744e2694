"""The scoring passes of a run: started when due, played again on demand, or no longer waited for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable

from temporalio import workflow
from temporalio.exceptions import ApplicationError, ChildWorkflowError, is_cancelled_exception

from activities.messages.miner import CommitmentRecorded, MinerForecastResult
from activities.messages.operator import Intervened
from activities.messages.scoring import MinersSettled, ScoringPassResult, VerifiedMiner
from workflows.run_children import OpenedRun
from workflows.scoring_pass import ScoringPass

DAY1 = 0


class RunPasses:
    """By lead time in hours; lead 0 is the day-1 pass."""

    def __init__(self, opened: OpenedRun) -> None:
        self._opened = opened
        self._verified: dict[str, VerifiedMiner] = {}
        self._started: set[int] = set()
        self._first_generation = 1
        self._open: dict[tuple[int | str, int], asyncio.Task[None]] = {}
        self._dropped: set[int] = set()
        self._failure: BaseException | None = None

    @property
    def done(self) -> int:
        """Final passes that have ended."""
        return sum(1 for lead in self._started if lead and not self._playing(lead))

    def dropped(self, lead_hours: int) -> bool:
        """Whether nobody waits for this lead any more."""
        return lead_hours in self._dropped

    async def finished(self) -> None:
        """Until no pass is open, reruns included; a pass that failed fails its run."""
        await workflow.wait_condition(lambda: self._failure is not None or not self._open)
        if self._failure:
            raise self._failure

    def settle(self, results: Iterable[MinerForecastResult]) -> int:
        """Take what became of the miners; answers how many are verified."""
        stores = {r.hotkey: VerifiedMiner(hotkey=r.hotkey, store=r.store.sha256) for r in results if r.store}
        self._verified |= stores
        return len(self._verified)

    async def start(self, lead_hours: int) -> None:
        """Start the first pass of a lead over the verified miners."""
        if not self.dropped(lead_hours):
            await self._play(lead_hours, self._first_generation, tuple(self._verified.values()))

    async def start_day1(self) -> None:
        """Start the day-1 pass before the miners are settled, so that its truth is ready by then."""
        await self._play(DAY1, 1, None)

    async def tell_day1(self) -> None:
        """The day-1 pass learns its miners."""
        day1 = self._opened.pass_child(DAY1, 1, None)
        handle = workflow.get_external_workflow_handle_for(ScoringPass.run, day1.id)
        try:
            await handle.signal(ScoringPass.miners_settled, MinersSettled(miners=tuple(self._verified.values())))
        except ApplicationError:
            workflow.logger.info("the adopted day-1 pass is closed already")

    async def again(self, done: Intervened) -> None:
        """Play passes once more, for all miners or one, whose commitment may be verified once more before."""
        if done.commitment and done.hotkey:
            work = self._verify_again(done.hotkey, done.commitment, done)
            self._open[done.hotkey, done.generation] = asyncio.create_task(work)
        else:
            await self._play_again(done)

    async def _verify_again(self, hotkey: str, recorded: CommitmentRecorded, done: Intervened) -> None:
        """What is still to come scores a miner that is found again with the others, in the same generation."""
        miner = next(miner for miner in self._opened.roster.miners if miner.hotkey == hotkey)
        try:
            child = self._opened.miner_child(miner, recorded, done.generation)
            self.settle([await (await child.start_or_adopt(MinerForecastResult))])
            self._first_generation = done.generation
            await self._play_again(done)
        except ChildWorkflowError as error:
            self._failure = error
        finally:
            del self._open[hotkey, done.generation]

    async def _play_again(self, done: Intervened) -> None:
        miners = tuple(miner for hotkey, miner in self._verified.items() if done.hotkey in (None, hotkey))
        for lead in done.leads if miners else ():
            self._dropped.discard(lead)
            if lead in self._started:
                await self._play(lead, done.generation, miners)

    def drop(self, leads: Iterable[int]) -> None:
        """Nobody waits for these leads any more; their open passes are cancelled."""
        for lead in leads:
            self._dropped.add(lead)
            for task in self._playing(lead):
                task.cancel()

    async def _play(self, lead_hours: int, generation: int, miners: tuple[VerifiedMiner, ...] | None) -> None:
        self._started.add(lead_hours)
        child = await self._opened.pass_child(lead_hours, generation, miners).start_or_adopt(ScoringPassResult)
        self._open[lead_hours, generation] = asyncio.create_task(self._ended((lead_hours, generation), child))

    def _playing(self, lead_hours: int) -> list[asyncio.Task[None]]:
        return [task for (lead, _), task in self._open.items() if lead == lead_hours]

    async def _ended(self, key: tuple[int, int], child: Awaitable[ScoringPassResult]) -> None:
        try:
            await child
        except (ChildWorkflowError, asyncio.CancelledError) as error:
            if not (self.dropped(key[0]) and is_cancelled_exception(error)):
                self._failure = error
        finally:
            del self._open[key]
