"""`Revision`: a newer truth of one valid time, lead after lead of the runs that verify at it."""

from __future__ import annotations

from temporalio import workflow
from temporalio.exceptions import ActivityError

from activities import signatures
from activities.messages.revisions import LeadRevised, RecordRevision, RescoreFields, RevisionInput, RevisionResult
from activities.messages.scoring import EnsureTruth, Scoring, TruthReady, TruthSet
from weather.faults import ConfigurationInvalid
from workflows import display
from workflows.failures import fault_of
from workflows.steps import perform


@workflow.defn
class Revision:
    """Rescores exactly what has changed, from kept bytes; what is recorded is never touched again."""

    @workflow.init
    def __init__(self, request: RevisionInput) -> None:
        self._truth = f"{request.truth_version} of {display.instant(request.valid_time)}"
        self._truths: dict[str, TruthSet] = {}

    @workflow.run
    async def run(self, request: RevisionInput) -> RevisionResult:
        if (found := workflow.info().workflow_id) != request.workflow_id:
            raise ConfigurationInvalid("a revision has one id", found=found, expected=request.workflow_id)
        scored = await perform(signatures.OPEN_REVISION, request, "find the leads that verify then")
        revised, failures = [], []
        for wanted in scored.leads:
            truth = await self._fetched(wanted)
            try:
                revised.append(await self._revise(wanted, truth))
            except ActivityError as error:
                fault_of(error)
                failures.append(error)
        workflow.set_current_details(f"{self._truth}: {len(revised)} leads are recorded, {len(failures)} have failed")
        if failures:
            raise failures[0]
        return RevisionResult(leads=tuple(revised))

    async def _fetched(self, wanted: EnsureTruth) -> TruthSet:
        """Once for all runs under the same rules, so that none is scored against another delivery."""
        rules = wanted.run.score_spec_digest
        if rules not in self._truths:
            workflow.set_current_details(f"waits for {self._truth}")
            beat = wanted.run.heartbeat_timeout
            ready = await perform(signatures.ENSURE_TRUTH, wanted, self._truth, heartbeat_timeout=beat)
            (self._truths[rules],) = ready.sets
        return self._truths[rules].model_copy(update={"lead_hours": wanted.lead_hours[0]})

    async def _revise(self, wanted: EnsureTruth, truth: TruthSet) -> LeadRevised:
        name = f"{wanted.run.run_id} {truth.lead_hours:03d}h"
        workflow.set_current_details(f"{self._truth}: revises {name}")
        of_lead = {"run": wanted.run, "pass_name": wanted.pass_name, "generation": 1}
        scoring = Scoring(**of_lead, truth=TruthReady(sets=(truth,)))
        planned, rescored = await perform(signatures.PLAN_REVISION, scoring, f"compare {name}"), None
        if planned.plan:
            changed = RescoreFields(**dict(scoring), plan=planned.plan)
            beat = wanted.run.heartbeat_timeout
            rescored = await perform(signatures.RESCORE_FIELDS, changed, f"rescore {name}", heartbeat_timeout=beat)
        record = {"confirmed": planned.confirmed, "rescored": rescored, "at": workflow.now()}
        return await perform(signatures.RECORD_REVISION, RecordRevision(**dict(scoring), **record), f"record {name}")
