"""What a sealed run does beside its scores: it audits what was committed, and compares with other validators."""

from __future__ import annotations

from temporalio import workflow

from activities import policies
from activities.messages.audits import CompareCommitments, RetentionAuditResult
from activities.messages.run import Run
from activities.signatures.audits import Peers
from workflows.children import start_or_adopt
from workflows.run_children import OpenedRun


async def watch(opened: OpenedRun) -> None:
    """Begin what nobody waits for; hindcasts are not audited, since their truth is public."""
    await compare_commitments(opened.run)
    if opened.run.purpose == "live":
        await start_or_adopt(opened.audits_child(), RetentionAuditResult)


async def compare_commitments(run: Run) -> None:
    """Who committed to another forecast elsewhere; a validator that does not answer is asked once more at the close."""
    await workflow.execute_activity_method(
        Peers.compare_commitments,
        CompareCommitments(run=run, at=workflow.now()),
        summary="compare with other validators",
        **policies.COMPARE_COMMITMENTS,
    )
