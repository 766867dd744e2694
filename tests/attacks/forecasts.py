"""Attacks in the weather itself: holes, copies, wrong grids and units (gallery rows 6, 7, 21, 22)."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import zstandard
from starlette.requests import Request
from starlette.responses import Response

from protocol.store import array_metadata
from tests.attacks.honest import Miner, Objects


class LeavesHoles(Miner):
    scope, code, hole = "case", "IncompleteForecast", np.nan

    def values(self, variable: str, level: int, lead: int) -> Any:
        values = super().values(variable, level, lead)
        if (variable, lead) == ("2t", 24):
            values = values.copy()
            values[3, 5] = self.hole
        return values


class WritesOneInfinity(LeavesHoles):
    hole = np.inf


class SendsPlainGfs(Miner):
    code = "BaselineClone"

    def values(self, variable: str, level: int, lead: int) -> Any:
        return self.world.public_gfs(lead)[variable, level]


class CopiesChunks(Miner):
    """Commits, after the owner has its receipt, to the owner's chunks under its own metadata."""

    code = "ExactClone"

    def spoil_objects(self, objects: Objects) -> Objects:
        return objects | self.others["honest-1"].chunks

    pushed = False

    async def polled(self, request: Request, nonce: str) -> Response:
        if self.pushed:
            return await super().polled(request, nonce)
        asyncio.get_running_loop().create_task(self.push_after_the_owner())
        waiting = {"stage": "inference", "estimated_ready_at": None, "input_data_hash": None}
        job = {"status": "processing", "job_id": self.opened.job_id, "retry_after_seconds": 30}
        return self.signed(nonce, job | waiting)

    async def push_after_the_owner(self) -> None:
        await self.others["honest-1"].receipted.wait()
        await self.world.push(self)
        self.pushed = True


class CopiesChunksInAnotherCodec(CopiesChunks):
    def spoil_objects(self, objects: Objects) -> Objects:
        layout, owner = self.layout, self.others["honest-1"]
        for variable, level in layout.fields():
            for lead in layout.lead_time_hours:
                values = owner.values(variable, level, lead).astype("<f4").tobytes()
                objects[layout.chunk_path(variable, level, lead)] = zstandard.compress(values)
        metadata = {f"{one.name}/zarr.json": array_metadata(layout, one.name, "zstd") for one in layout.variables}
        return objects | metadata


class TurnsTheEarthRound(Miner):
    scope, code = "gate", "QualityControlFailed"

    def values(self, variable: str, level: int, lead: int) -> Any:
        return np.ascontiguousarray(super().values(variable, level, lead)[::-1])


class RollsTheEarth(TurnsTheEarthRound):
    def values(self, variable: str, level: int, lead: int) -> Any:
        return np.roll(Miner.values(self, variable, level, lead), 32, axis=1)


class SaysCelsius(Miner):
    scope, code = "component", "QualityControlFailed"

    def values(self, variable: str, level: int, lead: int) -> Any:
        values = super().values(variable, level, lead)
        return values - np.float32(273.15) if variable == "2t" else values


class SendsHeightForGeopotential(SaysCelsius):
    def values(self, variable: str, level: int, lead: int) -> Any:
        values = Miner.values(self, variable, level, lead)
        return values / np.float32(9.80665) if variable == "z" else values


class AddsNoise(Miner):
    """Another's forecast with noise of a fifth of its error (row 7: over three runs, in `test_near_clones.py`)."""

    code, owner = "NearClone", "honest-1"

    def values(self, variable: str, level: int, lead: int) -> Any:
        own, public = self.world.forecast(self.owner, lead)[variable, level], self.world.public_gfs(lead)
        return self.changed(own, public[variable, level], np.random.default_rng([lead, level, len(variable)]))

    def changed(self, own: Any, public: Any, noise: np.random.Generator) -> Any:
        return own + np.float32(0.2 * np.std(own - public) / np.sqrt(2)) * noise.standard_normal(own.shape, np.float32)


class ScalesTheDifference(AddsNoise):
    owner = "honest-2"

    def changed(self, own: Any, public: Any, noise: np.random.Generator) -> Any:
        return public + np.float32(0.8) * (own - public)


class RollsByACell(AddsNoise):
    owner = "honest-3"

    def changed(self, own: Any, public: Any, noise: np.random.Generator) -> Any:
        return np.roll(own, 1, axis=1)


NEAR_COPIES = (AddsNoise, ScalesTheDifference, RollsByACell)
ATTACKS = (
    LeavesHoles,
    WritesOneInfinity,
    SendsPlainGfs,
    CopiesChunks,
    CopiesChunksInAnotherCodec,
    TurnsTheEarthRound,
    RollsTheEarth,
    SaysCelsius,
    SendsHeightForGeopotential,
)
