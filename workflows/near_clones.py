"""Evidence of near copies: once all miners of day 1 are scored, their fields are laid side by side."""

from __future__ import annotations

from collections.abc import Sequence

from temporalio import workflow
from temporalio.exceptions import ActivityError, is_cancelled_exception

from activities import policies
from activities.messages.base import Ref
from activities.messages.scoring import ChunkMiner, ScoreMiners, Scoring
from activities.signatures.scores import Scorer
from weather.near_clones import FEWEST_MINERS
from workflows.failures import fault_of


async def compare_miners(scoring: Scoring, scored: Sequence[ChunkMiner]) -> Ref | None:
    """None if they are too few, and if it fails: without evidence nobody is accused."""
    if scoring.pass_name != "day1_qc" or len(scored) < FEWEST_MINERS:
        return None
    try:
        return await workflow.execute_activity_method(
            Scorer.compare_miners,
            ScoreMiners(**dict(scoring), miners=tuple(scored)),
            summary=f"compare {len(scored)} miners",
            **policies.beating(policies.SCORE_MINERS, scoring.run.heartbeat_timeout),
        )
    except ActivityError as error:
        if is_cancelled_exception(error):
            raise
        workflow.logger.warning("no evidence of near copies: %s", fault_of(error))
        return None
