"""The children of a run: what each is called and what it is told."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from temporalio.common import SearchAttributePair

from activities.messages.audits import RetentionAuditInput
from activities.messages.base import Ref
from activities.messages.miner import CommitmentRecorded, MinerForecastInput
from activities.messages.run import Roster, RosterMiner, Run
from activities.messages.scoring import ScoringPassInput, VerifiedMiner
from protocol import names
from workflows import display
from workflows.children import Child
from workflows.miner_forecast import MinerForecast
from workflows.retention_audit import RetentionAudit
from workflows.scoring_pass import ScoringPass


@dataclass(frozen=True)
class MinerAgain:
    """A commitment to verify once more."""

    recorded: CommitmentRecorded
    generation: int


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

    def miner_child(self, miner: RosterMiner, again: MinerAgain | None = None) -> Child:
        """One miner's part, or its commitment verified once more."""
        generation = again.generation if again else 1
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
                recorded=again.recorded if again else None,
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
