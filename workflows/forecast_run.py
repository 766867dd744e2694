"""`ForecastRun`: one cycle, from fixed inputs to closed scores."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from datetime import datetime
from functools import partial

from temporalio import workflow
from temporalio.exceptions import ActivityError, is_cancelled_exception

from activities import policies
from activities.messages.base import FaultNote
from activities.messages.miner import MinerForecastResult
from activities.messages.run import (
    AdvanceRun,
    AggregateRun,
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
from activities.signatures.runs import Children, RunOpening, RunRecords
from activities.signatures.sources import Sources
from weather.faults import ConfigurationInvalid, IngressDown
from workflows import display
from workflows.children import STARTS_AT_ONCE, start_or_adopt
from workflows.failures import fault_note, fault_of
from workflows.operated_run import OperatedRun, Withdrawn
from workflows.run_children import OpenedRun
from workflows.run_outbox import Telling
from workflows.run_passes import RunPasses
from workflows.run_trust import compare_commitments, watch
from workflows.steps import batches, sleep_until


@workflow.defn
class ForecastRun(OperatedRun):
    """Fixes inputs, asks every miner, scores each lead when its truth is there, closes."""

    @workflow.run
    async def run(self, request: ForecastRunInput) -> ForecastRunResult:
        run = self._run = await self._open(request)
        self._held_by, self._telling = run.held_by, Telling(run)
        self._playing = asyncio.create_task(self._play(run))
        try:
            result = await self._playing
        except BaseException as error:
            if not (self._voided or isinstance(error, Withdrawn)):
                if is_cancelled_exception(error):
                    await asyncio.shield(self._cancelled(run))
                raise
            result = await self._close(run, void_reason="operator")
        await workflow.wait_condition(workflow.all_handlers_finished)
        await self._telling.tell_all()
        return result

    async def _play(self, run: Run) -> ForecastRunResult:
        roster = await self._freeze_roster(run)
        if not roster.miners:
            return await self._close(run, void_reason="empty_roster")
        try:
            inputs = await self._fetch_inputs(run)
        except ActivityError as error:
            return await self._without_inputs(run, error)
        opened = self._opened = await self._open_window(run, inputs, roster)
        if opened is None:
            return await self._close(run, void_reason="no_lead")
        self._telling.tell()
        miners = await self._start_miners(opened)
        if not await self._settle_absence(opened):
            return await self._close(run, void_reason="ingress", fault=fault_note(IngressDown("absence is not proved")))
        await self._seal(opened)
        self._telling.tell()
        await watch(opened)
        passes = self._passes = RunPasses(opened)
        await self._score_day1(opened, passes, miners)
        await self._score_leads(opened, passes)
        await compare_commitments(run)
        self._telling.tell()
        await self._aggregate(run, passes)
        return await self._close(run)

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
        self._stand("acquire", "GFS analyses of the init time and six hours before", give_up, kind="source")
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
            self._stand("forecast", f"commitments of {len(opened.roster.miners)} miners", seal_at, kind="miner")
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
            self._telling.tell()
            await passes.start(lead)
        self._stand("era5_final", "the last passes", run.close_by, kind="source")
        await passes.finished()

    async def _aggregate(self, run: Run, passes: RunPasses) -> None:
        """Until the coverage holds or no operator helped in time."""
        give_up = min(workflow.now() + run.second_chance, run.close_by)
        while True:
            await self._released()
            await passes.finished()
            obeyed = len(self._obeyed)
            aggregated = await workflow.execute_activity_method(
                RunRecords.aggregate_run,
                AggregateRun(run_id=run.run_id, at=workflow.now()),
                summary="aggregate the run",
                **policies.CLOSE_RUN,
            )
            if self._held_by is None and (aggregated.outcome != "void" or give_up <= workflow.now()):
                return
            if self._held_by is None:
                self._stand("aggregate", f"an operator: coverage {aggregated.coverage}", give_up, kind="operator")
                await sleep_until(give_up, "a second chance", unless=lambda at=obeyed: len(self._obeyed) > at)

    async def _close(
        self, run: Run, *, void_reason: str | None = None, fault: FaultNote | None = None
    ) -> ForecastRunResult:
        self._stand("aggregate", "the run to close", None, kind="worker", fault=fault)
        result = await workflow.execute_activity_method(
            RunRecords.close_run,
            CloseRun(run_id=run.run_id, at=workflow.now(), void_reason=void_reason, fault=fault),
            summary="close the run",
            **policies.CLOSE_RUN,
        )
        self._outcome = result.outcome
        self._stand("aggregate", f"nothing: {result.outcome} ({result.outcome_reason})", None, fault=fault)
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
