"""The words that operators read in the Web UI, and the search attributes."""

from __future__ import annotations

from datetime import datetime

from temporalio import workflow
from temporalio.common import SearchAttributeKey, SearchAttributePair, TypedSearchAttributes

from activities.messages.base import FaultNote
from activities.messages.run import Run
from activities.messages.status import Kind, RunProgress, Why

INIT = SearchAttributeKey.for_datetime("BarographInit")
RUN = SearchAttributeKey.for_keyword("BarographRun")
MINER = SearchAttributeKey.for_keyword("BarographMiner")
STAGE = SearchAttributeKey.for_keyword("BarographStage")
PASS = SearchAttributeKey.for_keyword("BarographPass")
CAMPAIGN = SearchAttributeKey.for_keyword("BarographCampaign")
CAUSE = SearchAttributeKey.for_keyword("BarographCause")
SPEC = SearchAttributeKey.for_keyword("BarographSpec")


def instant(at: datetime | None) -> str:
    """ISO-8601 UTC to the second."""
    return at.strftime("%Y-%m-%dT%H:%M:%SZ") if at else "—"


def attributes(run: Run, *more: SearchAttributePair) -> TypedSearchAttributes:
    """What a child is found by."""
    pairs: list[SearchAttributePair] = [
        SearchAttributePair(INIT, run.init_time),
        SearchAttributePair(RUN, run.run_id),
        SearchAttributePair(SPEC, run.score_spec_digest),
        *more,
    ]
    return TypedSearchAttributes(pairs)


def details(why: Why, progress: RunProgress | None = None) -> str:
    """Current details: stage, what is waited for, counts, last fault."""
    lines = [f"**{why.stage}** — {why.waiting_for}"]
    if why.until:
        lines.append(f"until {instant(why.until)}")
    if progress:
        lines.append(
            f"asked {progress.asked} · committed {progress.committed} · verified {progress.verified} · "
            f"failed {progress.failed} · passes {progress.passes_done}/{progress.passes_total}"
        )
    if why.last_fault:
        lines.append(f"last fault: `{why.last_fault.code}` ({why.last_fault.cause}) {why.last_fault.detail}")
    if why.verbs:
        lines.append(f"verbs: {', '.join(why.verbs)}")
    return "\n\n".join(lines)[:2000]


class Explained:
    """A workflow that says why it stands where it stands."""

    _why: Why

    @workflow.query
    def why(self) -> Why:
        """What it waits for, until when."""
        return self._why

    def _stand(
        self,
        stage: str,
        waiting_for: str,
        until: datetime | None = None,
        *,
        kind: Kind = "timer",
        fault: FaultNote | None = None,
    ) -> None:
        if stage != self._why.stage:
            self._enter(stage)
        self._why = Why(
            stage=stage, waiting_for=waiting_for, kind=kind, since=workflow.now(), until=until, last_fault=fault
        )
        workflow.set_current_details(self._details())

    def _enter(self, stage: str) -> None:
        """For who also shows the stage elsewhere."""

    def _details(self) -> str:
        return details(self.why())
