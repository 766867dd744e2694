"""What people may ask of a run and do to it: queries, and the operator's verbs as updates."""

from __future__ import annotations

import asyncio
from datetime import datetime

from temporalio import workflow
from temporalio.exceptions import ApplicationError

from activities import signatures
from activities.messages.operator import Intervene, Intervened, Intervention, InterventionReceipt, Verb
from activities.messages.run import Deregistered, MinerDeregistered, Run
from activities.messages.status import RunProgress, RunStatus, Why
from weather.faults import InterventionRefused
from workflows import display
from workflows.run_children import OpenedRun
from workflows.run_passes import RunPasses
from workflows.steps import perform

VERBS = ("hold", "rerun", "skip", "accept", "void")


class Withdrawn(Exception):
    """Nobody answered a doubt, or an operator ended the run."""


class OperatedRun(display.Explained):
    """State of a run that operators see and change; `ForecastRun` plays it."""

    def __init__(self) -> None:
        self._why = Why(stage="acquire", waiting_for="the run to open")
        self._progress = RunProgress()
        self._deadline: datetime | None = None
        self._outcome: str | None = None
        self._run: Run | None = None
        self._opened: OpenedRun | None = None
        self._passes: RunPasses | None = None
        self._playing: asyncio.Task[object] | None = None
        self._telling: asyncio.Task[None] | None = None
        self._held_by: str | None = None
        self._voided = False
        self._obeyed: set[str] = set()
        self._verbs = asyncio.Lock()

    @workflow.query
    def status(self) -> RunStatus:
        """Stage, outcome, deadline and counts."""
        return RunStatus(
            run_id=workflow.info().workflow_id,
            stage=self._why.stage,
            outcome=self._outcome,
            held_by=self._held_by,
            commit_deadline=self._deadline,
            progress=self.progress(),
        )

    @workflow.query
    def progress(self) -> RunProgress:
        """Counts of miners and passes."""
        return self._progress.model_copy(update={"passes_done": self._passes.done if self._passes else 0})

    @workflow.query
    def why(self) -> Why:
        """What the run waits for, until when, and which verbs help."""
        verbs = () if self._outcome else ("release", *VERBS[1:]) if self._held_by else VERBS
        return self._why.model_copy(update={"verbs": verbs})

    @workflow.signal
    async def miner_deregistered(self, gone: MinerDeregistered) -> None:
        """A member of the roster left the registry: shown, and changes nothing in this run."""
        await workflow.wait_condition(lambda: self._opened is not None or self._outcome is not None)
        if self._run is None or self._outcome is not None:
            return
        left = Deregistered(run_id=self._run.run_id, miner=gone)
        await perform(signatures.RECORD_DEREGISTERED, left, f"{gone.hotkey[:8]} left the registry")

    @workflow.update
    async def hold(self, intervention: Intervention) -> InterventionReceipt:
        """Begin no new pass and do not close; deadlines and timers go on."""
        return await self._intervene("hold", intervention)

    @workflow.update
    async def release(self, intervention: Intervention) -> InterventionReceipt:
        """End a hold: all that is due goes on at once."""
        return await self._intervene("release", intervention)

    @workflow.update
    async def rerun(self, intervention: Intervention) -> InterventionReceipt:
        """Score passes once more from stored bytes and truth, or verify one miner's commitment once more."""
        return await self._intervene("rerun", intervention)

    @workflow.update
    async def skip(self, intervention: Intervention) -> InterventionReceipt:
        """Void the cases of a scope for all miners."""
        return await self._intervene("skip", intervention)

    @workflow.update
    async def accept(self, intervention: Intervention) -> InterventionReceipt:
        """What is settled stands, what is open becomes void, and nothing is waited for."""
        return await self._intervene("accept", intervention)

    @workflow.update
    async def void(self, intervention: Intervention) -> InterventionReceipt:
        """End the run as void for all miners."""
        return await self._intervene("void", intervention)

    @hold.validator
    def _may_hold(self, intervention: Intervention) -> None:
        self._refuse(self._held_by and f"the run is held by {self._held_by}")

    @release.validator
    def _may_release(self, intervention: Intervention) -> None:
        self._refuse(None if self._held_by else "the run is not held")

    @rerun.validator
    def _may_rerun(self, intervention: Intervention) -> None:
        self._refuse("a rerun names its scope" if intervention.scope in (None, "run") else None)

    @skip.validator
    def _may_skip(self, intervention: Intervention) -> None:
        self._refuse("void for one miner does not exist" if "miner:" in (intervention.scope or "") else None)

    @accept.validator
    @void.validator
    def _may_end(self, intervention: Intervention) -> None:
        self._refuse(None)

    def _refuse(self, why_not: str | None) -> None:
        """Validators see memory only, and what they refuse leaves no trace."""
        if self._outcome is not None:
            why_not = f"the run is closed: {self._outcome}"
        if why_not:
            raise ApplicationError(why_not, type=InterventionRefused.__name__)

    async def _intervene(self, verb: Verb, intervention: Intervention) -> InterventionReceipt:
        await workflow.wait_condition(lambda: self._run is not None)
        assert self._run is not None
        async with self._verbs:
            self._refuse(None)
            asked = Intervene(run=self._run, verb=verb, intervention=intervention, at=workflow.now())
            done = await perform(signatures.INTERVENE, asked, f"{verb} by {intervention.actor}")
            if done.acts and done.receipt.request_id not in self._obeyed:
                self._obeyed.add(done.receipt.request_id)
                await self._obey(verb, done)
        return done.receipt

    async def _obey(self, verb: Verb, done: Intervened) -> None:
        if verb in ("hold", "release"):
            self._held_by = done.receipt.actor if verb == "hold" else None
        elif verb == "void":
            self._voided = True
            if self._playing:
                self._playing.cancel()
        elif self._passes and verb == "rerun":
            await self._passes.again(done)
        elif self._passes:
            self._passes.drop(done.leads)

    async def _released(self) -> None:
        """Until nobody holds the run; a hold that nobody releases voids it at `close_by`."""
        assert self._run is not None
        if self._held_by is None:
            return
        before = self._why
        self._stand("hold", f"{self._held_by} to release the run", self._run.close_by, kind="operator")
        try:
            left = self._run.close_by - workflow.now()
            await workflow.wait_condition(lambda: self._held_by is None, timeout=left, timeout_summary="held")
        except TimeoutError:
            raise Withdrawn from None
        self._stand(before.stage, before.waiting_for, before.until, kind=before.kind)

    def _enter(self, stage: str) -> None:
        workflow.upsert_search_attributes([display.STAGE.value_set(stage)])

    def _details(self) -> str:
        return display.details(self.why(), self.progress())
