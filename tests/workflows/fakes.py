"""Typed doubles of the activities: a scripted world without bytes, sockets or a ledger.

Faults are scripted by (activity, key): a list of exceptions, one raised per attempt, then success.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from temporalio import activity
from temporalio.client import Client, WorkflowExecutionStatus

from activities.messages.base import FaultNote
from activities.messages.miner import (
    CommitmentRecorded,
    DeadlineMoved,
    DeliverReceipt,
    LastWord,
    ManifestVerified,
    MinerAnswer,
    MinerCall,
    MinerSealed,
    PollCommitment,
    RecordAnswer,
    RecordCommitment,
    SettleMiner,
    VerifyManifest,
)
from activities.messages.operator import Intervene, Intervened
from activities.messages.revisions import ValidTimes
from activities.messages.run import (
    AbsenceSettled,
    AdoptChild,
    Adopted,
    AdvanceRun,
    Aggregated,
    Announce,
    CloseRun,
    CommitWindow,
    Deregistered,
    ForecastRunInput,
    ForecastRunResult,
    Inputs,
    OpenCommitWindow,
    Roster,
    RosterMiner,
    Run,
    Sealed,
    SettleAbsence,
    Step,
)
from activities.messages.scoring import EnsureTruth, FetchLead, LeadFetched, TruthReady, TruthSet
from protocol import names
from tests.workflows.script import DIGEST, REF, Script
from weather.faults import NoCommitment


class FakeRuns:
    def __init__(self, script: Script) -> None:
        self.script = script

    @activity.defn
    async def open_run(self, request: ForecastRunInput) -> Run:
        self.script.play("open_run", "", request)
        now = datetime.now(request.init_time.tzinfo) if request.campaign else request.init_time
        return Run(
            network=request.network or "test",
            run_id=request.workflow_id,
            init_time=request.init_time,
            purpose=request.run_purpose,
            grid=request.grid or "5p625",
            layout_digest=DIGEST,
            score_spec_digest=DIGEST,
            day1_lead_hours=self.script.day1_leads,
            final_lead_hours=self.script.leads,
            opened_at=now,
            close_by=now + timedelta(hours=max(self.script.leads) + 126, days=10),
            seal_grace=timedelta(minutes=1),
            truth_delay=timedelta(hours=126),
            heartbeat_timeout=timedelta(minutes=1),
            miners_per_chunk=2,
            second_chance=self.script.second_chance,
            round_backend=self.script.round_backend,
        )

    @activity.defn
    async def freeze_roster(self, request: Run) -> Roster:
        self.script.play("freeze_roster", "", request)
        miners = tuple(RosterMiner(hotkey=hotkey, name=hotkey[:4]) for hotkey in self.script.hotkeys)
        return Roster(entries=REF, roster_digest=DIGEST, miners=miners)

    @activity.defn
    async def open_commit_window(self, request: OpenCommitWindow) -> CommitWindow:
        self.script.play("open_commit_window", "", request)
        run = request.run
        start = run.init_time + timedelta(hours=3, minutes=30) if run.purpose == "live" else run.opened_at
        first = min(run.day1_lead_hours or run.final_lead_hours)
        return CommitWindow(
            requested_at=start, commit_deadline=start + self.script.commit_wait, first_lead_hours=first, call=REF
        )

    @activity.defn
    async def advance_run(self, request: AdvanceRun) -> None:
        self.script.play("advance_run", request.to, request)

    @activity.defn
    async def settle_absence(self, request: SettleAbsence) -> AbsenceSettled:
        self.script.play("settle_absence", "", request)
        if self.script.moves == request.moves:
            return AbsenceSettled(proved=True)
        moved = request.deadline + timedelta(minutes=10) if self.script.moves > request.moves else None
        return AbsenceSettled(proved=False, moved_to=moved)

    @activity.defn
    async def seal_run(self, request: Step) -> Sealed:
        self.script.play("seal_run", "", request)
        return Sealed(commitments=REF, accepted=sum(1 for c in self.script.commitments.values() if c.in_time))

    @activity.defn
    async def cancel_run(self, request: Step) -> None:
        self.script.play("cancel_run", "", request)

    @activity.defn
    async def record_deregistered(self, request: Deregistered) -> None:
        self.script.play("record_deregistered", request.miner.hotkey, request)

    @activity.defn
    async def aggregate_run(self, request: Step) -> Aggregated:
        self.script.play("aggregate_run", "", request)
        outcome = self.script.outcomes.pop(0) if self.script.outcomes else "closed"
        doubt = self.script.doubts.pop(0) if self.script.doubts else None
        return Aggregated(outcome=outcome, coverage="1/1", doubt=doubt)

    @activity.defn
    async def close_run(self, request: CloseRun) -> ForecastRunResult:
        self.script.play("close_run", "", request)
        return ForecastRunResult(
            run_id=request.run_id,
            outcome="void" if request.void_reason else "closed",
            outcome_reason=request.void_reason or "complete",
            coverage="1",
            verified=sum(1 for settled in self.script.calls["settle_miner"] if settled.store),
            faults=sum(1 for settled in self.script.calls["settle_miner"] if settled.fault),
            facts_digest=DIGEST,
            faults_digest=DIGEST,
        )


class FakeChildren:
    def __init__(self, script: Script, client: Client) -> None:
        self.script, self.client = script, client

    @activity.defn
    async def announce(self, request: Announce) -> None:
        self.script.play("announce", "", request)
        for hotkey in request.hotkeys:
            handle = self.client.get_workflow_handle(names.miner_workflow_id(request.run_id, hotkey))
            if (await handle.describe()).status != WorkflowExecutionStatus.RUNNING:
                continue
            if request.moved_to:
                await handle.signal("deadline_moved", DeadlineMoved(to=request.moved_to))
            else:
                await handle.signal("sealed", MinerSealed(recorded=self.script.sealed(hotkey)))

    @activity.defn
    async def adopt_child(self, request: AdoptChild) -> Adopted:
        self.script.play("adopt_child", request.workflow_id, request)
        handle = self.client.get_workflow_handle(request.workflow_id)
        return Adopted(result=await handle.result())


class FakeMiners:
    def __init__(self, script: Script, client: Client) -> None:
        self.script, self.client = script, client

    @activity.defn
    async def record_answer(self, request: RecordAnswer) -> None:
        self.script.play("record_answer", request.hotkey, request)

    @activity.defn
    async def record_commitment(self, request: RecordCommitment) -> CommitmentRecorded:
        self.script.play("record_commitment", request.hotkey, request)
        return self.script.record(request.hotkey)

    @activity.defn
    async def record_last_word(self, request: LastWord) -> None:
        self.script.play("record_last_word", request.hotkey, request)

    @activity.defn
    async def settle_miner(self, request: SettleMiner) -> None:
        self.script.play("settle_miner", request.hotkey, request)

    @activity.defn
    async def request_forecast(self, request: MinerCall) -> MinerAnswer:
        self.script.play("request_forecast", request.hotkey, request)
        return MinerAnswer(stage="received")

    @activity.defn
    async def poll_commitment(self, request: PollCommitment) -> MinerAnswer:
        self.script.play("poll_commitment", request.hotkey, request)
        if (hotkey := request.hotkey) in self.script.pushes:
            handle = self.client.get_workflow_handle(names.miner_workflow_id(request.run_id, hotkey))
            await handle.signal("commitment_recorded", self.script.record(hotkey))
            raise NoCommitment("still writing", retry_after=timedelta(minutes=5))
        return MinerAnswer(stage="completed", commitment=REF, received_at=request.commit_deadline)

    @activity.defn
    async def deliver_receipt(self, request: DeliverReceipt) -> None:
        self.script.play("deliver_receipt", request.hotkey, request)

    @activity.defn
    async def verify_manifest(self, request: VerifyManifest) -> ManifestVerified:
        self.script.play("verify_manifest", request.hotkey, request)
        return ManifestVerified(store=REF)

    @activity.defn
    async def fetch_lead(self, request: FetchLead) -> LeadFetched:
        key = f"{request.miner.hotkey}/{max(request.lead_hours)}"
        self.script.play("fetch_lead", key, request)
        return LeadFetched(hotkey=request.miner.hotkey, objects=REF)


class FakeArchive:
    def __init__(self, script: Script) -> None:
        self.script = script

    @activity.defn
    async def fetch_inputs(self, request: Run) -> Inputs:
        self.script.play("fetch_inputs", "", request)
        return Inputs(objects=REF, input_data_hash=DIGEST, bundle_digest=DIGEST, size_bytes=1)

    @activity.defn
    async def ensure_truth(self, request: EnsureTruth) -> TruthReady:
        self.script.play("ensure_truth", f"{request.pass_name}/{max(request.lead_hours)}", request)
        return TruthReady(
            sets=tuple(
                TruthSet(lead_hours=lead, truth_version="era5t", truth=REF, climatology=REF)
                for lead in request.lead_hours
            )
        )

    @activity.defn
    async def published_truth(self, request: ValidTimes) -> ValidTimes:
        self.script.play("published_truth", "", request)
        return ValidTimes(valid_times=tuple(each for each in request.valid_times if each in self.script.published))


class FakeOperator:
    """Obeys each verb; what the run then has to do is scripted by verb."""

    def __init__(self, script: Script) -> None:
        self.script = script

    @activity.defn
    async def intervene(self, request: Intervene) -> Intervened:
        self.script.play("intervene", request.verb, request)
        given, radius = request.intervention, {"facts_superseded": 0, "cases_voided": 0, "miners_touched": 0}
        receipt = {
            "run_id": request.run.run_id,
            "request_id": given.request_id or str(len(self.script.calls["intervene"])),
            "verb": request.verb,
            "at": request.at,
            "state": "acted",
            "blast_radius": radius | {"coverage_before": "1/1", "coverage_after": "1/1", "outcome_after": "closed"},
            **given.model_dump(include={"actor", "reason", "dry_run"}),
            "scope": given.scope or "run",
        }
        tasks = self.script.tasks.get(request.verb, {})
        return Intervened.model_validate({"receipt": receipt, "acts": not given.dry_run, **tasks})


def fault(error: FaultNote | None) -> str | None:
    """The code of a note."""
    return error.code if error else None
