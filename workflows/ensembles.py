"""The weighted mean of the miners that were scored in a pass."""

from __future__ import annotations

from collections.abc import Sequence

from temporalio import workflow
from temporalio.exceptions import ActivityError

from activities import signatures
from activities.messages.scoring import (
    BuildEnsemble,
    ChunkMiner,
    EnsembleBuilt,
    MembersWeighed,
    RecordEnsemble,
    Scoring,
)
from workflows.failures import fault_of
from workflows.steps import perform


async def add_ensemble(scoring: Scoring, scored: Sequence[ChunkMiner]) -> EnsembleBuilt | None:
    """Whatever fails here costs none of the miners anything."""
    if len(scored) < 2:
        return None
    beat = scoring.run.heartbeat_timeout
    try:
        weighed = await perform(
            signatures.WEIGH_MEMBERS, scoring, "weigh the miners by their past", heartbeat_timeout=beat
        )
        members = tuple(one for one in scored if one.hotkey in weighed.hotkeys)
        return await _build(scoring, weighed, members) if members else None
    except ActivityError as error:
        workflow.logger.warning("no ensemble: %s", fault_of(error))
        return None


async def _build(scoring: Scoring, weighed: MembersWeighed, members: tuple[ChunkMiner, ...]) -> EnsembleBuilt | None:
    assert weighed.weights is not None
    built = fault = None
    try:
        built = await perform(
            signatures.BUILD_ENSEMBLE,
            BuildEnsemble(**dict(scoring), weights=weighed.weights, members=members),
            f"ensemble of {len(members)} miners",
            heartbeat_timeout=scoring.run.heartbeat_timeout,
        )
    except ActivityError as error:
        fault = fault_of(error)
        workflow.logger.warning("no ensemble: %s", fault)
    end = RecordEnsemble(**dict(scoring), weights=weighed.weights, built=built, fault=fault, at=workflow.now())
    await perform(signatures.RECORD_ENSEMBLE, end, "record the ensemble")
    return built
