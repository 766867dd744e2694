"""The children of a run: what each is called and told; one that is already there is adopted, never an error."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from temporalio import workflow
from temporalio.common import SearchAttributePair, TypedSearchAttributes, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError

from activities import signatures
from activities.messages.audits import RetentionAuditInput
from activities.messages.base import Message, Ref
from activities.messages.miner import CommitmentRecorded, MinerForecastInput
from activities.messages.run import AdoptChild, Roster, RosterMiner, Run
from activities.messages.scoring import ScoringPassInput, VerifiedMiner
from protocol import names
from workflows import display
from workflows.miner_forecast import MinerForecast
from workflows.retention_audit import RetentionAudit
from workflows.scoring_pass import ScoringPass
from workflows.steps import perform

STARTS_AT_ONCE = 32

R = TypeVar("R", bound=Message)


@dataclass(frozen=True)
class Child:
    """A child by its business id."""

    workflow: Any
    request: Message
    id: str
    summary: str
    search_attributes: TypedSearchAttributes

    async def start_or_adopt(self, result_type: type[R]) -> Awaitable[R]:
        """Start it, or adopt the one under its id; answers when it is started, with its result to await."""
        try:
            return await self._start()
        except WorkflowAlreadyStartedError:
            return asyncio.create_task(self._adopt(result_type))

    async def _start(self) -> workflow.ChildWorkflowHandle[Any, Any]:
        return await workflow.start_child_workflow(
            self.workflow,
            self.request,
            id=self.id,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY,
            parent_close_policy=workflow.ParentClosePolicy.REQUEST_CANCEL,
            search_attributes=self.search_attributes,
            static_summary=self.summary,
        )

    async def _adopt(self, result_type: type[R]) -> R:
        adopted = await perform(signatures.ADOPT_CHILD, AdoptChild(workflow_id=self.id), f"adopt {self.id}")
        if adopted.result is None:
            return await (await self._start())
        return result_type.model_validate(adopted.result)


@dataclass(frozen=True)
class OpenedRun:
    """A run whose commit window is open."""

    run: Run
    roster: Roster
    call: Ref
    commit_deadline: datetime
    first_lead_hours: int

    @property
    def day1_leads(self) -> list[int]:
        """Day-1 leads that the deadline rule left."""
        return [h for h in self.run.day1_lead_hours if h >= self.first_lead_hours]

    @property
    def final_leads(self) -> list[int]:
        """Final leads that the deadline rule left, in order of due time."""
        return sorted(h for h in self.run.final_lead_hours if h >= self.first_lead_hours)

    def miner_child(self, miner: RosterMiner, recorded: CommitmentRecorded | None = None, generation: int = 1) -> Child:
        """One miner's part, or its recorded commitment verified once more."""
        return Child(
            workflow=MinerForecast.run,
            request=MinerForecastInput(
                run=self.run,
                hotkey=miner.hotkey,
                name=miner.name,
                roster=self.roster.entries,
                call=self.call,
                commit_deadline=self.commit_deadline,
                generation=generation,
                recorded=recorded,
            ),
            id=names.miner_workflow_id(self.run.run_id, miner.hotkey, generation),
            summary=f"{miner.name} · {miner.hotkey[:8]}…",
            search_attributes=display.attributes(self.run, SearchAttributePair(display.MINER, miner.hotkey)),
        )

    def pass_child(self, lead_hours: int, generation: int, miners: tuple[VerifiedMiner, ...] | None) -> Child:
        """The final pass of a lead, or for lead 0 the day-1 pass; without miners it is told them by signal."""
        pass_name = "era5_final" if lead_hours else "day1_qc"
        return Child(
            workflow=ScoringPass.run,
            request=ScoringPassInput(
                run=self.run,
                pass_name=pass_name,
                lead_hours=lead_hours,
                generation=generation,
                first_lead_hours=self.first_lead_hours,
                roster=self.roster.entries,
                call=self.call,
                miners=miners,
            ),
            id=names.pass_workflow_id(self.run.run_id, pass_name, lead_hours or None, generation),
            summary=f"{pass_name} {lead_hours} h · g{generation}" if lead_hours else f"day1_qc · g{generation}",
            search_attributes=display.attributes(self.run, SearchAttributePair(display.PASS, pass_name)),
        )

    def audits_child(self) -> Child:
        """The retention audits."""
        return Child(
            workflow=RetentionAudit.run,
            request=RetentionAuditInput(run=self.run, roster=self.roster.entries),
            id=names.audits_workflow_id(self.run.run_id),
            summary=f"audits of {len(self.roster.miners)} miners",
            search_attributes=display.attributes(self.run),
        )
