"""A child that waits, as `MinerForecast` does, and tells what it was told."""

from __future__ import annotations

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.messages.base import Instant, Message
    from activities.messages.miner import CommitmentRecorded, DeadlineMoved, MinerSealed


class Told(Message):
    """Every signal in its order."""

    moved_to: tuple[Instant, ...] = ()
    recorded: tuple[CommitmentRecorded, ...] = ()
    sealed: MinerSealed | None = None


@workflow.defn
class Waiting:
    def __init__(self) -> None:
        self.told = Told()

    @workflow.run
    async def run(self) -> Told:
        await workflow.wait_condition(lambda: self.told.sealed is not None)
        return self.told

    @workflow.signal
    def deadline_moved(self, moved: DeadlineMoved) -> None:
        self.told = self.told.model_copy(update={"moved_to": (*self.told.moved_to, moved.to)})

    @workflow.signal
    def commitment_recorded(self, recorded: CommitmentRecorded) -> None:
        self.told = self.told.model_copy(update={"recorded": (*self.told.recorded, recorded)})

    @workflow.signal
    def sealed(self, sealed: MinerSealed) -> None:
        self.told = self.told.model_copy(update={"sealed": sealed})
