"""A scorer that scores everything, and whose ensembles have the members that the script names."""

from __future__ import annotations

from temporalio import activity

from activities.messages.base import Ref
from activities.messages.revisions import RescoreFields
from activities.messages.scoring import (
    BuildEnsemble,
    EnsembleBuilt,
    FinishPass,
    MembersWeighed,
    PartScored,
    PassStarted,
    RecordEnsemble,
    RecordScores,
    ScoreEntrants,
    ScoreMiners,
    Scoring,
    StartPass,
)
from tests.workflows.script import DIGEST, REF, Script


class FakeScores:
    def __init__(self, script: Script) -> None:
        self.script = script

    @activity.defn
    async def score_miners(self, request: ScoreMiners) -> PartScored:
        self.script.play("score_miners", str(len(request.miners)), request)
        return PartScored(part=REF, facts=len(request.miners), faults=0)

    @activity.defn
    async def rescore_fields(self, request: RescoreFields) -> Ref:
        self.script.play("rescore_fields", request.run.run_id, request)
        return REF

    @activity.defn
    async def score_entrants(self, request: ScoreEntrants) -> PartScored:
        self.script.play("score_entrants", request.pass_name, request)
        return PartScored(part=REF, facts=2, faults=0)

    @activity.defn
    async def compare_miners(self, request: ScoreMiners) -> Ref:
        self.script.play("compare_miners", request.pass_name, request)
        return REF

    @activity.defn
    async def weigh_members(self, request: Scoring) -> MembersWeighed:
        self.script.play("weigh_members", request.pass_name, request)
        members = self.script.members
        return MembersWeighed(weights=REF if members else None, hotkeys=members)

    @activity.defn
    async def build_ensemble(self, request: BuildEnsemble) -> EnsembleBuilt:
        self.script.play("build_ensemble", request.pass_name, request)
        return EnsembleBuilt(part=REF, fields=REF, facts=1)

    @activity.defn
    async def record_ensemble(self, request: RecordEnsemble) -> None:
        self.script.play("record_ensemble", request.pass_name, request)

    @activity.defn
    async def start_pass(self, request: StartPass) -> PassStarted:
        self.script.play("start_pass", request.to, request)
        return PassStarted(inputs=DIGEST)

    @activity.defn
    async def record_scores(self, request: RecordScores) -> int:
        self.script.play("record_scores", "", request)
        return 1

    @activity.defn
    async def finish_pass(self, request: FinishPass) -> None:
        self.script.play("finish_pass", "", request)
