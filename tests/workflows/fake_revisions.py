"""A double of the records of revisions: every lead of the script verifies at each valid time."""

from __future__ import annotations

from datetime import timedelta

from temporalio import activity

from activities.messages.revisions import (
    FindRevisions,
    LeadRevised,
    RecordRevision,
    RevisionInput,
    RevisionPlanned,
    ScoredLeads,
    ValidTimes,
)
from activities.messages.run import ForecastRunInput
from activities.messages.scoring import EnsureTruth, Scoring
from tests.workflows.fakes import FakeRuns
from tests.workflows.script import DIGEST, REF, Script


class FakeRevisions:
    def __init__(self, script: Script) -> None:
        self.script, self.runs = script, FakeRuns(script)

    @activity.defn
    async def find_revisions(self, request: FindRevisions) -> ValidTimes:
        self.script.play("find_revisions", "", request)
        return ValidTimes(valid_times=self.script.unrevised)

    @activity.defn
    async def open_revision(self, request: RevisionInput) -> ScoredLeads:
        self.script.play("open_revision", "", request)
        inputs = {lead: ForecastRunInput(init_time=request.valid_time - timedelta(hours=lead)) for lead in self.leads}
        runs = {lead: await self.runs.open_run(each) for lead, each in inputs.items()}
        wanted = EnsureTruth(run=runs[24], pass_name="era5_final", lead_hours=(24,), truth_version="era5")
        leads = (wanted.model_copy(update={"run": run, "lead_hours": (lead,)}) for lead, run in runs.items())
        return ScoredLeads(leads=tuple(leads))

    @property
    def leads(self) -> tuple[int, ...]:
        return tuple(sorted(self.script.leads, reverse=True))

    @activity.defn
    async def plan_revision(self, request: Scoring) -> RevisionPlanned:
        lead = request.truth.sets[0].lead_hours
        self.script.play("plan_revision", str(lead), request)
        return RevisionPlanned(confirmed=68, plan=REF if lead in self.script.changed else None)

    @activity.defn
    async def record_revision(self, request: RecordRevision) -> LeadRevised:
        lead = request.truth.sets[0].lead_hours
        self.script.play("record_revision", str(lead), request)
        return LeadRevised(
            run_id=request.run.run_id,
            lead_hours=lead,
            rescored=3 if request.rescored else 0,
            confirmed=request.confirmed,
            refused=0,
            report=DIGEST,
        )
