"""`ForecastRun`: one cycle, from fixed inputs to closed scores."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from datetime import datetime

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError, is_cancelled_exception

from activities import policies
from activities.messages.base import FaultNote
from activities.messages.miner import MinerForecastResult
from activities.messages.run import (
    AdvanceRun,
    Announce,
    CancelRun,
    CloseRun,
    ForecastRunInput,
    ForecastRunResult,
    FreezeRoster,
    Inputs,
    OpenCommitWindow,
    Roster,
    Run,
    Sealed,
    SealRun,
    SettleAbsence,
)
from activities.messages.scoring import MinersSettled, ScoringPassResult, VerifiedMiner
from activities.messages.status import RunProgress, RunStatus, Why
from activities.signatures.runs import Children, RunOpening, RunRecords
from activities.signatures.sources import Sources
from weather.faults import ConfigurationInvalid, IngressDown
from workflows import display
from workflows.children import STARTS_AT_ONCE, start_or_adopt
from workflows.failures import fault_note, fault_of
from workflows.run_children import OpenedRun
from workflows.run_trust import compare_commitments, watch
from workflows.scoring_pass import ScoringPass
from workflows.steps import batches, sleep_until


@workflow.defn
class ForecastRun:
    """Fixes inputs, asks every miner, scores each lead when its truth is there, closes."""

    def __init__(self) -> None:
        self._why = Why(stage="acquire", waiting_for="the run to open")
        self._progress = RunProgress()
        self._deadline: datetime | None = None
        self._outcome: str | None = None

    @workflow.run
    async def run(self, request: ForecastRunInput) -> ForecastRunResult:
        run = await self._open(request)
        try:
            return await self._play(run)
        except BaseException as error:
            if is_cancelled_exception(error):
                await asyncio.shield(self._cancelled(run))
            raise

    async def _play(self, run: Run) -> ForecastRunResult:
        roster = await self._freeze_roster(run)
        if not roster.miners:
            return await self._close(run, void_reason="empty_roster")
        try:
            inputs = await self._fetch_inputs(run)
        except ActivityError as error:
            return await self._without_inputs(run, error)
        opened = await self._open_window(run, inputs, roster)
        if opened is None:
            return await self._close(run, void_reason="no_lead")
        miners = await self._start_miners(opened)
        if not await self._settle_absence(opened):
            return await self._close(run, void_reason="ingress", fault=fault_note(IngressDown("absence is not proved")))
        await self._seal(opened)
        await watch(opened)
        day1 = await self._start_day1(opened)
        verified = await self._settle(miners)
        await self._finish_day1(opened, day1, verified)
        await self._score_leads(opened, verified)
        await compare_commitments(run)
        return await self._close(run)

    @workflow.query
    def status(self) -> RunStatus:
        """Stage, outcome, deadline and counts."""
        return RunStatus(
            run_id=workflow.info().workflow_id,
            stage=self._why.stage,
            outcome=self._outcome,
            commit_deadline=self._deadline,
            progress=self._progress,
        )

    @workflow.query
    def progress(self) -> RunProgress:
        """Counts of miners and passes."""
        return self._progress

    @workflow.query
    def why(self) -> Why:
        """What the run waits for, until when, and what helps."""
        return self._why

    async def _open(self, request: ForecastRunInput) -> Run:
        if workflow.info().workflow_id != request.workflow_id:
            raise ConfigurationInvalid(
                "a run has one id", found=workflow.info().workflow_id, expected=request.workflow_id
            )
        run = await workflow.execute_activity_method(
            RunOpening.open_run, request, summary="open the run", **policies.RECORD
        )
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

    async def _freeze_roster(self, run: Run) -> Roster:
        return await workflow.execute_activity_method(
            RunOpening.freeze_roster, FreezeRoster(run=run), summary="freeze the roster", **policies.RECORD
        )

    async def _fetch_inputs(self, run: Run) -> Inputs:
        give_up = run.valid_time(max(run.final_lead_hours)) if run.purpose == "live" else run.close_by
        self._stand("acquire", "GFS analyses of the init time and six hours before", give_up)
        options = policies.beating(policies.FETCH_INPUTS, run.heartbeat_timeout)
        return await workflow.execute_activity_method(
            Sources.fetch_inputs,
            run,
            summary=f"fetch GFS {display.instant(run.init_time)}",
            **policies.until(options, give_up - workflow.now()),
        )

    async def _without_inputs(self, run: Run, error: ActivityError) -> ForecastRunResult:
        if is_cancelled_exception(error):
            raise error
        return await self._close(run, void_reason="no_lead", fault=fault_of(error))

    async def _open_window(self, run: Run, inputs: Inputs, roster: Roster) -> OpenedRun | None:
        window = await workflow.execute_activity_method(
            RunOpening.open_commit_window,
            OpenCommitWindow(run=run, inputs=inputs, roster_digest=roster.roster_digest),
            summary="open the commit window",
            **policies.RECORD,
        )
        if window.call is None or window.first_lead_hours is None:
            return None
        self._deadline = window.commit_deadline
        return OpenedRun(run, roster, window.call, window.commit_deadline, window.first_lead_hours)

    async def _start_miners(self, opened: OpenedRun) -> list[Awaitable[MinerForecastResult]]:
        started: list[Awaitable[MinerForecastResult]] = []
        for batch in batches(opened.roster.miners, STARTS_AT_ONCE):
            children = [opened.miner_child(miner) for miner in batch]
            started += await asyncio.gather(*(start_or_adopt(child, MinerForecastResult) for child in children))
        self._progress = self._progress.model_copy(update={"asked": len(started)})
        return started

    async def _settle_absence(self, opened: OpenedRun) -> bool:
        """Wait for the deadline until every absence is proved; false if the run is void for a fault of ours."""
        deadline, moves = opened.commit_deadline, 0
        while True:
            seal_at = deadline + opened.run.seal_grace
            self._stand("forecast", f"commitments of {len(opened.roster.miners)} miners", seal_at)
            await sleep_until(seal_at, "commit deadline and grace")
            settled = await workflow.execute_activity_method(
                RunRecords.settle_absence,
                SettleAbsence(run=opened.run, deadline=deadline, moves=moves, at=workflow.now()),
                summary="settle absences",
                **policies.SETTLE,
            )
            if settled.moved_to is None:
                return settled.proved
            deadline, moves = settled.moved_to, moves + 1
            self._deadline = deadline
            await self._announce(opened, moved_to=deadline)

    async def _seal(self, opened: OpenedRun) -> None:
        sealed = await workflow.execute_activity_method(
            RunRecords.seal_run,
            SealRun(run_id=opened.run.run_id, at=workflow.now()),
            summary="seal the run",
            **policies.SETTLE,
        )
        self._progress = self._progress.model_copy(update={"committed": sealed.accepted})
        await self._announce(opened, sealed=sealed)

    async def _announce(
        self, opened: OpenedRun, *, sealed: Sealed | None = None, moved_to: datetime | None = None
    ) -> None:
        hotkeys = tuple(miner.hotkey for miner in opened.roster.miners)
        await workflow.execute_activity_method(
            Children.announce,
            Announce(run_id=opened.run.run_id, hotkeys=hotkeys, sealed=sealed, moved_to=moved_to),
            summary="announce the seal" if sealed else "announce the moved deadline",
            **policies.ANNOUNCE,
        )

    async def _start_day1(self, opened: OpenedRun) -> Awaitable[ScoringPassResult] | None:
        if not opened.day1_leads:
            await self._advance(opened.run, "initial_scoring_skipped", "no day-1 lead is scored")
            return None
        return await start_or_adopt(opened.day1_child(), ScoringPassResult)

    async def _settle(self, miners: list[Awaitable[MinerForecastResult]]) -> tuple[VerifiedMiner, ...]:
        self._stand("forecast", "manifests of all commitments to be verified", None)
        results = await asyncio.gather(*miners)
        faults = [r.fault for r in results if r.fault]
        verified = tuple(VerifiedMiner(hotkey=r.hotkey, store=r.store.sha256) for r in results if r.store is not None)
        self._progress = self._progress.model_copy(update={"verified": len(verified), "failed": len(faults)})
        return verified

    async def _finish_day1(
        self,
        opened: OpenedRun,
        day1: Awaitable[ScoringPassResult] | None,
        verified: tuple[VerifiedMiner, ...],
    ) -> None:
        if day1 is None:
            return
        self._stand("day1_qc", "GFS analyses of day 1", None)
        handle = workflow.get_external_workflow_handle_for(ScoringPass.run, opened.day1_child().id)
        try:
            await handle.signal(ScoringPass.miners_settled, MinersSettled(miners=verified))
        except ApplicationError:
            workflow.logger.info("the adopted day-1 pass is closed already")
        await day1

    async def _score_leads(self, opened: OpenedRun, verified: tuple[VerifiedMiner, ...]) -> None:
        """One timer, for the next due lead only; its pass is started and not awaited."""
        run, leads = opened.run, opened.final_leads
        self._progress = self._progress.model_copy(update={"passes_total": len(leads)})
        await self._advance(run, "final_scoring_triggered", f"{len(leads)} leads to score")
        passes = []
        for lead in leads:
            due = run.truth_due(lead)
            if due > workflow.now():
                self._stand("awaiting_truth", f"ERA5 of lead {lead} h", due)
            await sleep_until(due, f"truth of {lead:03d}h is due")
            scoring = await start_or_adopt(opened.final_child(lead, verified), ScoringPassResult)
            passes.append(asyncio.create_task(self._count(scoring)))
        self._stand("era5_final", "the last passes", run.close_by)
        await asyncio.gather(*passes)

    async def _count(self, scoring: Awaitable[ScoringPassResult]) -> None:
        await scoring
        self._progress = self._progress.model_copy(update={"passes_done": self._progress.passes_done + 1})

    async def _close(
        self, run: Run, *, void_reason: str | None = None, fault: FaultNote | None = None
    ) -> ForecastRunResult:
        self._stand("aggregate", "the run to close", None, fault)
        result = await workflow.execute_activity_method(
            RunRecords.close_run,
            CloseRun(run_id=run.run_id, at=workflow.now(), void_reason=void_reason, fault=fault),
            summary="close the run",
            **policies.CLOSE_RUN,
        )
        self._outcome = result.outcome
        self._stand("aggregate", f"nothing: {result.outcome} ({result.outcome_reason})", None, fault)
        return result

    async def _cancelled(self, run: Run) -> None:
        await workflow.execute_activity_method(
            RunRecords.cancel_run,
            CancelRun(run_id=run.run_id, at=workflow.now()),
            summary="tell of the cancellation",
            **policies.RECORD,
        )

    async def _advance(self, run: Run, to: str, reason: str) -> None:
        await workflow.execute_activity_method(
            RunRecords.advance_run,
            AdvanceRun(run_id=run.run_id, to=to, reason=reason, at=workflow.now()),
            summary=to,
            **policies.RECORD,
        )

    def _stand(self, stage: str, waiting_for: str, until: datetime | None, fault: FaultNote | None = None) -> None:
        if stage != self._why.stage:
            workflow.upsert_search_attributes([display.STAGE.value_set(stage)])
        self._why = Why(stage=stage, waiting_for=waiting_for, until=until, last_fault=fault)
        workflow.set_current_details(display.details(self._why, self._progress))
