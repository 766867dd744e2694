"""Our own forecasts in a pass: the canaries and all but the ensemble before the miners, the ensemble after them."""

from __future__ import annotations

from collections.abc import Sequence

from temporalio import workflow
from temporalio.exceptions import ActivityError, is_cancelled_exception

from activities import policies
from activities.messages.base import FaultNote
from activities.messages.scoring import (
    BuildEnsemble,
    ChunkMiner,
    EnsembleBuilt,
    MembersWeighed,
    PartScored,
    RecordEnsemble,
    ScoreEntrants,
    Scoring,
)
from activities.signatures.scores import EnsembleRecords, Scorer
from workflows.failures import fault_of


async def score_entrants(scoring: Scoring, inputs: str | None) -> PartScored:
    """A canary that misses fails this, and so ends the pass before anything is recorded."""
    return await workflow.execute_activity_method(
        Scorer.score_entrants,
        ScoreEntrants(**dict(scoring), inputs=inputs),
        summary="canaries and our own forecasts",
        **policies.beating(policies.SCORE_ENTRANTS, scoring.run.heartbeat_timeout),
    )


async def add_ensemble(scoring: Scoring, scored: Sequence[ChunkMiner]) -> EnsembleBuilt | None:
    """The weighted mean of the miners that were scored; whatever fails here costs none of them anything."""
    if len(scored) < 2:
        return None
    try:
        weighed = await _weigh(scoring)
        members = tuple(one for one in scored if one.hotkey in weighed.hotkeys)
        return await _build(scoring, weighed, members) if members else None
    except ActivityError as error:
        _lost(error)
        return None


async def _weigh(scoring: Scoring) -> MembersWeighed:
    return await workflow.execute_activity_method(
        EnsembleRecords.weigh_members,
        scoring,
        summary="weigh the miners by their past",
        **policies.beating(policies.WEIGH_MEMBERS, scoring.run.heartbeat_timeout),
    )


async def _build(scoring: Scoring, weighed: MembersWeighed, members: tuple[ChunkMiner, ...]) -> EnsembleBuilt | None:
    assert weighed.weights is not None
    built: EnsembleBuilt | None = None
    fault: FaultNote | None = None
    try:
        built = await workflow.execute_activity_method(
            Scorer.build_ensemble,
            BuildEnsemble(**dict(scoring), weights=weighed.weights, members=members),
            summary=f"ensemble of {len(members)} miners",
            **policies.beating(policies.BUILD_ENSEMBLE, scoring.run.heartbeat_timeout),
        )
    except ActivityError as error:
        fault = _lost(error)
    await workflow.execute_activity_method(
        EnsembleRecords.record_ensemble,
        RecordEnsemble(**dict(scoring), weights=weighed.weights, built=built, fault=fault, at=workflow.now()),
        summary="record the ensemble",
        **policies.RECORD,
    )
    return built


def _lost(error: ActivityError) -> FaultNote:
    if is_cancelled_exception(error):
        raise error
    fault = fault_of(error)
    workflow.logger.warning("no ensemble: %s", fault)
    return fault
