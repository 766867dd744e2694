"""`ForecastRun`: one cycle, from fixed inputs to closed scores."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from functools import partial

from temporalio import workflow
from temporalio.exceptions import ActivityError, FailureError, is_cancelled_exception

from activities import signatures
from activities.messages.audits import RetentionAuditResult
from activities.messages.base import FaultNote, Instant
from activities.messages.miner import MinerForecastResult
from activities.messages.run import (
    AdvanceRun,
    Announce,
    CloseRun,
    DeliverOutbox,
    ForecastRunInput,
    ForecastRunResult,
    Inputs,
    OpenCommitWindow,
    Roster,
    Run,
    RunStep,
    Sealed,
    SettleAbsence,
    Step,
)
from weather.faults import ConfigurationInvalid, IngressDown
from workflows import display
from workflows.failures import fault_of
from workflows.operated_run import OperatedRun, Withdrawn
from workflows.run_children import STARTS_AT_ONCE, OpenedRun
from workflows.run_passes import RunPasses
from workflows.steps import batches, left, perform, sleep_until


@workflow.defn
class ForecastRun(OperatedRun):
    """Fixes inputs, asks every miner, scores each lead when its truth is there, closes."""

    @workflow.run
    async def run(self, request: ForecastRunInput) -> ForecastRunResult:
        run = self._run = await self._open(request)
        self._held_by = run.held_by
        self._playing = asyncio.create_task(self._play(run))
        try:
            result = await self._playing
        except (asyncio.CancelledError, FailureError, Withdrawn) as error:
            if not (self._voided or isinstance(error, Withdrawn)):
                if is_cancelled_exception(error):
                    await asyncio.shield(self._cancelled(run))
                raise
            result = await self._close(run, void_reason="operator")
        await workflow.wait_condition(workflow.all_handlers_finished)
        if self._telling:
            await self._telling
        if run.round_backend:
            await self._deliver(run)
        return result

    async def _play(self, run: Run) -> ForecastRunResult:
        roster = await perform(signatures.FREEZE_ROSTER, run, "freeze the roster")
        if not roster.miners:
            return await self._close(run, void_reason="empty_roster")
        try:
            inputs = await self._fetch_inputs(run)
        except ActivityError as error:
            return await self._close(run, void_reason="no_lead", fault=fault_of(error))
        opened = self._opened = await self._open_window(run, inputs, roster)
        if opened is None:
            return await self._close(run, void_reason="no_lead")
        self._tell(run)
        miners = await self._start_miners(opened)
        if not await self._settle_absence(opened):
            unproved = FaultNote.of(IngressDown("absence is not proved"))
            return await self._close(run, void_reason="ingress", fault=unproved)
        await self._seal(opened)
        self._tell(run)
        await self._watch(opened)
        passes = self._passes = RunPasses(opened)
        await self._score_day1(opened, passes, miners)
        await self._score_leads(opened, passes)
        await self._compare(run)
        self._tell(run)
        await self._aggregate(run, passes)
        return await self._close(run)

    async def _open(self, request: ForecastRunInput) -> Run:
        if workflow.info().workflow_id != request.workflow_id:
            raise ConfigurationInvalid(
                "a run has one id", found=workflow.info().workflow_id, expected=request.workflow_id
            )
        run = await perform(signatures.OPEN_RUN, request, "open the run")
        campaign = [display.CAMPAIGN.value_set(request.campaign.name)] if request.campaign else []
        workflow.upsert_search_attributes(
            [
                display.INIT.value_set(run.init_time),
                display.RUN.value_set(run.run_id),
                display.SPEC.value_set(run.score_spec_digest),
                *campaign,
            ]
        )
        return run

    async def _fetch_inputs(self, run: Run) -> Inputs:
        give_up = run.valid_time(max(run.final_lead_hours)) if run.purpose == "live" else run.close_by
        self._stand("acquire", "GFS analyses of the init time and six hours before", give_up, kind="source")
        return await perform(
            signatures.FETCH_INPUTS,
            run,
            f"fetch GFS {display.instant(run.init_time)}",
            heartbeat_timeout=run.heartbeat_timeout,
            schedule_to_close_timeout=left(give_up),
        )

    async def _open_window(self, run: Run, inputs: Inputs, roster: Roster) -> OpenedRun | None:
        asked = OpenCommitWindow(run=run, inputs=inputs, roster_digest=roster.roster_digest)
        window = await perform(signatures.OPEN_COMMIT_WINDOW, asked, "open the commit window")
        if window.call is None or window.first_lead_hours is None:
            return None
        self._deadline = window.commit_deadline
        return OpenedRun(run, roster, window.call, window.commit_deadline, window.first_lead_hours)

    async def _start_miners(self, opened: OpenedRun) -> list[Awaitable[MinerForecastResult]]:
        started: list[Awaitable[MinerForecastResult]] = []
        for batch in batches(opened.roster.miners, STARTS_AT_ONCE):
            children = [opened.miner_child(miner) for miner in batch]
            started += await asyncio.gather(*(child.start_or_adopt(MinerForecastResult) for child in children))
        self._progress = self._progress.model_copy(update={"asked": len(started)})
        return started

    async def _settle_absence(self, opened: OpenedRun) -> bool:
        """Wait for the deadline until every absence is proved; false if the run is void for a fault of ours."""
        deadline, moves = opened.commit_deadline, 0
        while True:
            seal_at = deadline + opened.run.seal_grace
            self._stand("forecast", f"commitments of {len(opened.roster.miners)} miners", seal_at, kind="miner")
            await sleep_until(seal_at, "commit deadline and grace")
            asked = SettleAbsence(run=opened.run, deadline=deadline, moves=moves, at=workflow.now())
            settled = await perform(signatures.SETTLE_ABSENCE, asked, "settle absences")
            if settled.moved_to is None:
                return settled.proved
            deadline, moves = settled.moved_to, moves + 1
            self._deadline = deadline
            await self._announce(opened, "announce the moved deadline", moved_to=deadline)

    async def _seal(self, opened: OpenedRun) -> None:
        asked = Step(run_id=opened.run.run_id, at=workflow.now())
        sealed = await perform(signatures.SEAL_RUN, asked, "seal the run")
        self._progress = self._progress.model_copy(update={"committed": sealed.accepted})
        await self._announce(opened, "announce the seal", sealed=sealed)

    async def _announce(self, opened: OpenedRun, summary: str, **news: Sealed | Instant) -> None:
        hotkeys = tuple(miner.hotkey for miner in opened.roster.miners)
        told = Announce.model_validate({"run_id": opened.run.run_id, "hotkeys": hotkeys, **news})
        await perform(signatures.ANNOUNCE, told, summary)

    async def _watch(self, opened: OpenedRun) -> None:
        """Begin what nobody waits for; hindcasts are not audited, since their truth is public."""
        await self._compare(opened.run)
        if opened.run.purpose == "live":
            await opened.audits_child().start_or_adopt(RetentionAuditResult)

    async def _compare(self, run: Run) -> None:
        """Who committed to another forecast elsewhere; a validator that is silent is asked again at the close."""
        asked = RunStep(run=run, at=workflow.now())
        await perform(signatures.COMPARE_COMMITMENTS, asked, "compare with other validators")

    def _tell(self, run: Run) -> None:
        """Begin to tell the round backend what is due, unless that goes on; one that is down delays nothing."""
        if run.round_backend and (self._telling is None or self._telling.done()):
            self._telling = asyncio.create_task(self._deliver(run))

    async def _deliver(self, run: Run) -> None:
        """What cannot be delivered stays in the outbox; of a closed run, this ends when nothing is left or expired."""
        try:
            await perform(signatures.DELIVER_OUTBOX, DeliverOutbox(run_id=run.run_id), "tell the round backend")
        except ActivityError as error:
            workflow.logger.warning("the round backend is not told: %s", fault_of(error).code)

    async def _score_day1(
        self, opened: OpenedRun, passes: RunPasses, miners: list[Awaitable[MinerForecastResult]]
    ) -> None:
        """The day-1 pass asks for its truth while the manifests are verified."""
        await self._released()
        if opened.day1_leads:
            await passes.start_day1()
        else:
            await self._advance(opened.run, "initial_scoring_skipped", "no day-1 lead is scored")
        self._stand("forecast", "manifests of all commitments to be verified", None, kind="miner")
        results = await asyncio.gather(*miners)
        verified = passes.settle(results)
        failed = sum(1 for result in results if result.fault)
        self._progress = self._progress.model_copy(update={"verified": verified, "failed": failed})
        if opened.day1_leads:
            self._stand("day1_qc", "GFS analyses of day 1", None, kind="source")
            await passes.tell_day1()
            await passes.finished()
        await self._released()
        await passes.finished()

    async def _score_leads(self, opened: OpenedRun, passes: RunPasses) -> None:
        """One timer, for the next due lead only; its pass is started and not awaited."""
        run, leads = opened.run, opened.final_leads
        self._progress = self._progress.model_copy(update={"passes_total": len(leads)})
        await self._advance(run, "final_scoring_triggered", f"{len(leads)} leads to score")
        for lead in leads:
            due = run.truth_due(lead)
            if due > workflow.now():
                self._stand("awaiting_truth", f"ERA5 of lead {lead} h", due)
            await sleep_until(due, f"truth of {lead:03d}h is due", unless=partial(passes.dropped, lead))
            await self._released()
            self._tell(run)
            await passes.start(lead)
        self._stand("era5_final", "the last passes", run.close_by, kind="source")
        await passes.finished()

    async def _aggregate(self, run: Run, passes: RunPasses) -> None:
        """Until coverage and review hold or no operator helped in time."""
        second_chance = min(workflow.now() + run.second_chance, run.close_by)
        while True:
            await self._released()
            await passes.finished()
            obeyed = len(self._obeyed)
            asked = Step(run_id=run.run_id, at=workflow.now())
            aggregated = await perform(signatures.AGGREGATE_RUN, asked, "aggregate the run")
            doubt = aggregated.doubt or (f"coverage {aggregated.coverage}" if aggregated.outcome == "void" else None)
            give_up = run.close_by if aggregated.doubt else second_chance
            if self._held_by is None and (doubt is None or give_up <= workflow.now()):
                return
            if self._held_by is None:
                self._stand("aggregate", f"an operator: {doubt}", give_up, kind="operator")
                await sleep_until(give_up, "a second chance", unless=lambda at=obeyed: len(self._obeyed) > at)

    async def _close(
        self, run: Run, *, void_reason: str | None = None, fault: FaultNote | None = None
    ) -> ForecastRunResult:
        self._stand("aggregate", "the run to close", None, kind="worker", fault=fault)
        asked = CloseRun(run_id=run.run_id, at=workflow.now(), void_reason=void_reason, fault=fault)
        result = await perform(signatures.CLOSE_RUN, asked, "close the run")
        self._outcome = result.outcome
        self._stand("aggregate", f"nothing: {result.outcome} ({result.outcome_reason})", None, fault=fault)
        return result

    async def _cancelled(self, run: Run) -> None:
        gone = Step(run_id=run.run_id, at=workflow.now())
        await perform(signatures.CANCEL_RUN, gone, "tell of the cancellation")

    async def _advance(self, run: Run, to: str, reason: str) -> None:
        step = AdvanceRun(run_id=run.run_id, to=to, reason=reason, at=workflow.now())
        await perform(signatures.ADVANCE_RUN, step, to)
