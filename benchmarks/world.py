"""What is read and scored: synthetic content of real size on two grids, and the store that holds it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from miner.store_writer import StoreWriter
from protocol.commitment import Commitment
from protocol.identity import PrivateKey
from protocol.layout import Layout, load_layout
from protocol.manifest import Manifest
from protocol.messages import StoreIdentity
from protocol.names import job_id, run_id
from weather.fields import Field
from weather.grids import Grid

MINER = PrivateKey.from_bytes(b"\1" * 32)
VALIDATOR = PrivateKey.from_bytes(b"\2" * 32)
T0 = datetime(2026, 11, 22, 18, tzinfo=UTC)
LEAD_HOURS = 24
VALID_TIME = T0 + timedelta(hours=LEAD_HOURS)
LEVELS = {"5p625": [50, 100, 150, 200, 250, 300, 400, 500, 600, 700, 850, 925, 1000], "0p25": [250, 500, 700, 850]}
NAMES = {"5p625": {"2t", "10u", "10v", "msl", "t", "u", "v", "q", "z"}, "0p25": {"2t", "t"}}


@dataclass(frozen=True)
class Triple:
    """A forecast, what came true, and the climatology."""

    forecast: Field
    truth: Field
    climatology: Field


@dataclass(frozen=True)
class Store:
    """One lead of a forecast."""

    layout: Layout
    commitment: Commitment
    manifest: Manifest


def one_lead_layout(grid: str) -> Layout:
    """The shipped layout with one lead, and at 0p25 with few fields."""
    shipped = load_layout(grid).value
    variables = [variable for variable in shipped["variables"] if variable["name"] in NAMES[grid]]
    changes = {"lead_time_hours": [LEAD_HOURS], "level_hectopascal": LEVELS[grid], "variables": variables}
    return Layout.of_value({**shipped, **changes})


def triple(grid: Grid, seed: int, variable: str = "t", level: int = 500) -> Triple:
    """Waves on the sphere with noise of the size of a model's last digit; it packs like real fields."""
    noise = np.random.default_rng(seed)
    down, east = np.deg2rad(grid.latitudes)[:, None], np.deg2rad(grid.longitudes)[None, :]
    climatology = 280 - 30 * np.sin(down) ** 2 + 0 * east
    waves = [np.cos(down) * noise.normal() * np.sin(k * east + noise.uniform(0, 6) + 3 * down) for k in range(1, 30)]
    truth = climatology + sum(waves) + 0.02 * noise.standard_normal(grid.shape)
    forecast = truth + 0.3 * waves[2] + 0.02 * noise.standard_normal(grid.shape)
    fields = [Field.of(grid, variable, level, VALID_TIME, values) for values in (forecast, truth, climatology)]
    return Triple(*fields)


def write_store(folder: Path, grid: str) -> tuple[Store, dict[tuple[str, int], Triple]]:
    """A store of one lead, and what its fields are scored against."""
    layout = one_lead_layout(grid)
    triples = {
        (name, level): triple(layout.grid_value, seed, name, level)
        for seed, (name, level) in enumerate(layout.fields())
    }
    identity, writer = _identity(layout), StoreWriter(folder / "objects", layout)
    writer.write_lead(LEAD_HOURS, {field: one.forecast.values for field, one in triples.items()})
    manifest = writer.finish(identity)
    writer.publish()
    commitment = Commitment(
        **identity.model_dump(),
        score_spec_digest="2" * 64,
        input_data_hash=None,
        root=manifest.root,
        object_count=manifest.object_count,
        total_bytes=manifest.total_bytes,
        salt="4" * 64,
    )
    (folder / "commitment.json").write_bytes(commitment.canonical)
    return Store(layout, commitment, manifest), triples


def _identity(layout: Layout) -> StoreIdentity:
    run = run_id(T0)
    return StoreIdentity(
        network="bench",
        run_id=run,
        job_id=job_id("bench", run, MINER.hotkey),
        init_time=T0,
        hotkey=MINER.hotkey,
        grid=layout.grid,
        layout_digest=layout.digest,
    )
