"""`ScoringPass`: truth of one pass, then every verified miner against it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta

from temporalio import workflow
from temporalio.exceptions import ActivityError, is_cancelled_exception

from activities import policies
from activities.messages.base import FaultNote, Instant, Ref
from activities.messages.scoring import (
    ChunkMiner,
    EnsureTruth,
    FetchLead,
    FinishPass,
    LeadFetched,
    MinersSettled,
    PartScored,
    PassStarted,
    RecordScores,
    ScoreMiners,
    Scoring,
    ScoringPassInput,
    ScoringPassResult,
    StartPass,
    TruthReady,
    VerifiedMiner,
)
from activities.messages.status import Why
from activities.signatures.miners import Downloads
from activities.signatures.scores import Scorer, ScoreRecords
from activities.signatures.sources import Sources
from weather.faults import OutOfMemory
from workflows import display
from workflows.entrants import add_ensemble, score_entrants
from workflows.failures import fault_of
from workflows.near_clones import compare_miners
from workflows.steps import batches

ANALYSIS_GRACE = timedelta(hours=16)


@workflow.defn
class ScoringPass:
    """Makes truth ready, proves the scorer, fans out over chunks of miners, records what they scored."""

    @workflow.init
    def __init__(self, request: ScoringPassInput) -> None:
        self._request = request
        self._miners = request.miners
        self._scored: list[ChunkMiner] = []
        self._parts: list[PartScored] = []
        self._likeness: Ref | None = None
        self._why = Why(stage=request.pass_name, waiting_for="its first step")

    @workflow.run
    async def run(self, request: ScoringPassInput) -> ScoringPassResult:
        await self._project("queued")
        truth: TruthReady | None = None
        fault: FaultNote | None = None
        try:
            truth = await self._ensure_truth()
            started = await self._project("in_progress")
            of_pass = {"run": request.run, "pass_name": request.pass_name, "generation": request.generation}
            await self._play(Scoring(**of_pass, truth=truth), started)
        except ActivityError as error:
            if is_cancelled_exception(error):
                raise
            fault = fault_of(error)
        await self._finish(fault)
        return self._result(truth, fault)

    @workflow.signal
    def miners_settled(self, settled: MinersSettled) -> None:
        """Every miner of the run is verified or at fault."""
        self._miners = settled.miners

    @workflow.query
    def why(self) -> Why:
        """What this pass waits for."""
        return self._why

    async def _play(self, scoring: Scoring, started: PassStarted) -> None:
        entrants = await score_entrants(scoring, started.inputs)
        miners = await self._settled_miners()
        self._stand(f"scores of {len(miners)} miners", scoring.run.close_by)
        chunks = batches(miners, scoring.run.miners_per_chunk)
        await asyncio.gather(self._record(entrants), *(self._chunk(chunk, scoring) for chunk in chunks))
        self._likeness = await compare_miners(scoring, self._scored)
        if built := await add_ensemble(scoring, self._scored):
            self._parts.append(PartScored(part=built.part, facts=built.facts, faults=0))

    async def _ensure_truth(self) -> TruthReady:
        run, give_up = self._request.run, self._truth_bound()
        self._stand("truth of " + ", ".join(display.instant(run.valid_time(h)) for h in self._leads()), give_up)
        return await workflow.execute_activity_method(
            Sources.ensure_truth,
            EnsureTruth(run=run, pass_name=self._request.pass_name, lead_hours=self._leads()),
            summary=f"truth for {self._request.pass_name} {self._request.lead_hours:03d}h",
            **self._beating(policies.until(policies.ENSURE_TRUTH, give_up - workflow.now())),
        )

    def _truth_bound(self) -> datetime:
        run = self._request.run
        if self._request.pass_name == "era5_final":
            return run.close_by
        return max(run.valid_time(max(self._leads())), workflow.now()) + ANALYSIS_GRACE

    def _leads(self) -> tuple[int, ...]:
        request = self._request
        if request.pass_name == "era5_final":
            return (request.lead_hours,)
        return tuple(h for h in request.run.day1_lead_hours if h >= request.first_lead_hours)

    async def _settled_miners(self) -> tuple[VerifiedMiner, ...]:
        self._stand("the run's miners to be settled", None)
        await workflow.wait_condition(lambda: self._miners is not None)
        return self._miners or ()

    async def _chunk(self, miners: Sequence[VerifiedMiner], scoring: Scoring) -> None:
        late = await self._round(miners, scoring, last=False)
        for number, pause in enumerate(self._request.run.round_pauses, 1):
            if not late:
                return
            await workflow.sleep(pause, summary=f"before round {number + 1} of {len(late)} miners")
            late = await self._round(late, scoring, last=number == len(self._request.run.round_pauses))

    async def _round(self, miners: Sequence[VerifiedMiner], scoring: Scoring, *, last: bool) -> list[VerifiedMiner]:
        """One round of transfers; scores who is complete and answers who may yet come."""
        fetched = await asyncio.gather(*(self._fetch(miner, last) for miner in miners))
        ready = [ChunkMiner(hotkey=f.hotkey, objects=f.objects) for f in fetched if f.final]
        if ready:
            await self._score(tuple(ready), scoring)
        return [miner for miner, f in zip(miners, fetched, strict=True) if not f.final]

    async def _fetch(self, miner: VerifiedMiner, last: bool) -> LeadFetched:
        request = self._request
        return await workflow.execute_activity_method(
            Downloads.fetch_lead,
            FetchLead(
                run=request.run,
                pass_name=request.pass_name,
                lead_hours=self._leads(),
                miner=miner,
                roster=request.roster,
                call=request.call,
                last_round=last,
            ),
            summary=f"fetch {request.lead_hours:03d}h of {miner.hotkey[:8]}",
            **self._beating(policies.FETCH_LEAD),
        )

    async def _score(self, miners: tuple[ChunkMiner, ...], scoring: Scoring) -> None:
        try:
            part = await workflow.execute_activity_method(
                Scorer.score_miners,
                ScoreMiners(**dict(scoring), miners=miners),
                summary=f"score {len(miners)} miners, {scoring.pass_name} {self._request.lead_hours:03d}h",
                **self._beating(policies.SCORE_MINERS),
            )
        except ActivityError as error:
            if fault_of(error).code != OutOfMemory.__name__ or len(miners) == 1:
                raise
            await asyncio.gather(*(self._score(half, scoring) for half in batches(miners, (len(miners) + 1) // 2)))
            return
        await self._record(part)
        self._scored += miners

    async def _record(self, part: PartScored) -> None:
        await workflow.execute_activity_method(
            ScoreRecords.record_scores,
            RecordScores(run_id=self._request.run.run_id, part=part.part),
            summary=f"record {part.facts} facts, {part.faults} faults",
            **self._beating(policies.RECORD_SCORES),
        )
        self._parts.append(part)

    async def _project(self, status: str) -> PassStarted:
        request = self._request
        return await workflow.execute_activity_method(
            ScoreRecords.start_pass,
            StartPass(
                run_id=request.run.run_id,
                pass_name=request.pass_name,
                lead_hours=request.lead_hours,
                generation=request.generation,
                to=status,
                at=workflow.now(),
            ),
            summary=status,
            **policies.RECORD,
        )

    async def _finish(self, fault: FaultNote | None) -> None:
        request = self._request
        await workflow.execute_activity_method(
            ScoreRecords.finish_pass,
            FinishPass(
                run=request.run,
                pass_name=request.pass_name,
                lead_hours=request.lead_hours,
                generation=request.generation,
                at=workflow.now(),
                fault=fault,
                likeness=self._likeness,
            ),
            summary="finish",
            **policies.RECORD,
        )

    def _beating(self, options: policies.Options) -> policies.Options:
        return policies.beating(options, self._request.run.heartbeat_timeout)

    def _stand(self, waiting_for: str, until: Instant | None, fault: FaultNote | None = None) -> None:
        self._why = Why(stage=self._request.pass_name, waiting_for=waiting_for, until=until, last_fault=fault)
        workflow.set_current_details(display.details(self._why))

    def _result(self, truth: TruthReady | None, fault: FaultNote | None) -> ScoringPassResult:
        self._stand("nothing: it is recorded", None, fault)
        return ScoringPassResult(
            pass_name=self._request.pass_name,
            lead_hours=self._request.lead_hours,
            facts=sum(part.facts for part in self._parts),
            faults=sum(part.faults for part in self._parts),
            truth_version=truth.sets[0].truth_version if truth else None,
            fault=fault,
            parts=tuple(part.part.sha256 for part in self._parts),
        )
