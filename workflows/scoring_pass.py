"""`ScoringPass`: truth of one pass, then every verified miner against it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from temporalio import workflow
from temporalio.exceptions import ActivityError

from activities import signatures
from activities.messages.base import FaultNote, Ref
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
    ScoreEntrants,
    ScoreMiners,
    Scoring,
    ScoringPassInput,
    ScoringPassResult,
    StartPass,
    TruthReady,
    VerifiedMiner,
)
from activities.messages.status import Why
from weather.clones import FEWEST_MINERS
from weather.faults import OutOfMemory
from workflows.display import Explained, instant
from workflows.ensembles import add_ensemble
from workflows.failures import fault_of
from workflows.steps import batches, left, perform

ANALYSIS_GRACE = timedelta(hours=16)


@workflow.defn
class ScoringPass(Explained):
    """Makes truth ready, proves the scorer, fans out over chunks of miners, records what they scored."""

    @workflow.init
    def __init__(self, request: ScoringPassInput) -> None:
        self._request, self._miners = request, request.miners
        self._key: dict[str, Any] = request.model_dump(include={"pass_name", "lead_hours", "generation"})
        self._beat = request.run.heartbeat_timeout
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
            scoring = Scoring(run=request.run, pass_name=request.pass_name, generation=request.generation, truth=truth)
            await self._play(scoring, started)
        except ActivityError as error:
            fault = fault_of(error)
        await self._finish(fault)
        return self._result(truth, fault)

    @workflow.signal
    def miners_settled(self, settled: MinersSettled) -> None:
        """Every miner of the run is verified or at fault."""
        self._miners = settled.miners

    async def _play(self, scoring: Scoring, started: PassStarted) -> None:
        entrants = await perform(
            signatures.SCORE_ENTRANTS,
            ScoreEntrants(**dict(scoring), inputs=started.inputs),
            "canaries and our own forecasts",
            heartbeat_timeout=self._beat,
        )
        miners = await self._settled_miners()
        self._stand(scoring.pass_name, f"scores of {len(miners)} miners", scoring.run.close_by)
        chunks = batches(miners, scoring.run.miners_per_chunk)
        await asyncio.gather(self._record(entrants), *(self._chunk(chunk, scoring) for chunk in chunks))
        if scoring.pass_name == "day1_qc" and len(self._scored) >= FEWEST_MINERS:
            await self._compare(scoring)
        if built := await add_ensemble(scoring, self._scored):
            self._parts.append(built)

    async def _compare(self, scoring: Scoring) -> None:
        """The fields of day 1 side by side; if it fails there is no evidence of near copies, and nobody is accused."""
        try:
            self._likeness = await perform(
                signatures.COMPARE_MINERS,
                ScoreMiners(**dict(scoring), miners=tuple(self._scored)),
                f"compare {len(self._scored)} miners",
                heartbeat_timeout=self._beat,
            )
        except ActivityError as error:
            workflow.logger.warning("no evidence of near copies: %s", fault_of(error))

    async def _ensure_truth(self) -> TruthReady:
        run, name, give_up = self._request.run, self._request.pass_name, self._truth_bound()
        self._stand(name, "truth of " + ", ".join(instant(run.valid_time(h)) for h in self._leads()), give_up)
        return await perform(
            signatures.ENSURE_TRUTH,
            EnsureTruth(run=run, pass_name=name, lead_hours=self._leads()),
            f"truth for {name} {self._request.lead_hours:03d}h",
            heartbeat_timeout=self._beat,
            schedule_to_close_timeout=left(give_up),
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
        self._stand(self._request.pass_name, "the run's miners to be settled")
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
        if ready := tuple(ChunkMiner(hotkey=f.hotkey, objects=f.objects) for f in fetched if f.final):
            await self._score(ready, scoring)
        return [miner for miner, f in zip(miners, fetched, strict=True) if not f.final]

    async def _fetch(self, miner: VerifiedMiner, last: bool) -> LeadFetched:
        request = self._request
        return await perform(
            signatures.FETCH_LEAD,
            FetchLead(
                run=request.run,
                pass_name=request.pass_name,
                lead_hours=self._leads(),
                miner=miner,
                roster=request.roster,
                call=request.call,
                last_round=last,
            ),
            f"fetch {request.lead_hours:03d}h of {miner.hotkey[:8]}",
            heartbeat_timeout=self._beat,
        )

    async def _score(self, miners: tuple[ChunkMiner, ...], scoring: Scoring) -> None:
        try:
            part = await perform(
                signatures.SCORE_MINERS,
                ScoreMiners(**dict(scoring), miners=miners),
                f"score {len(miners)} miners, {scoring.pass_name} {self._request.lead_hours:03d}h",
                heartbeat_timeout=self._beat,
            )
        except ActivityError as error:
            if fault_of(error).code != OutOfMemory.__name__ or len(miners) == 1:
                raise
            await asyncio.gather(*(self._score(half, scoring) for half in batches(miners, (len(miners) + 1) // 2)))
            return
        await self._record(part)
        self._scored += miners

    async def _record(self, part: PartScored) -> None:
        await perform(
            signatures.RECORD_SCORES,
            RecordScores(run_id=self._request.run.run_id, part=part.part),
            f"record {part.facts} facts, {part.faults} faults",
            heartbeat_timeout=self._beat,
        )
        self._parts.append(part)

    async def _project(self, status: str) -> PassStarted:
        step = StartPass(run_id=self._request.run.run_id, to=status, at=workflow.now(), **self._key)
        return await perform(signatures.START_PASS, step, status)

    async def _finish(self, fault: FaultNote | None) -> None:
        end = FinishPass(run=self._request.run, at=workflow.now(), fault=fault, likeness=self._likeness, **self._key)
        await perform(signatures.FINISH_PASS, end, "finish")

    def _result(self, truth: TruthReady | None, fault: FaultNote | None) -> ScoringPassResult:
        self._stand(self._request.pass_name, "nothing: it is recorded", fault=fault)
        return ScoringPassResult(
            pass_name=self._request.pass_name,
            lead_hours=self._request.lead_hours,
            facts=sum(part.facts for part in self._parts),
            faults=sum(part.faults for part in self._parts),
            truth_version=truth.sets[0].truth_version if truth else None,
            fault=fault,
            parts=tuple(part.part.sha256 for part in self._parts),
        )
