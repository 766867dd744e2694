"""The miner's activities against a real archive: inputs, inference, store and commitment."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest
import xarray
from temporalio.testing import ActivityEnvironment

from activities.messages.inference import MinerJobInput, WrittenStore
from miner.activities import MinerActivities
from miner.forecasts import Forecaster
from miner.store_writer import MANIFEST
from protocol.commitment import accept
from protocol.manifest import Manifest
from protocol.store import check_metadata
from tests.activities.miner.conftest import LAYOUT, NOW, SEED, T0, Stage
from weather.faults import PrerequisiteMissing, SourceCorrupt
from weather.planet.planet import Planet

MakeStage = Callable[..., Stage]
GRID = LAYOUT.grid_value


def make_forecast(stage: Stage, job: MinerJobInput) -> WrittenStore:
    """All activities before the signature."""
    environment = ActivityEnvironment()
    environment.run(stage.activities.fetch_gfs, job)
    environment.run(stage.activities.run_inference, job)
    return environment.run(stage.activities.write_store, job)


def sign(stage: Stage, job: MinerJobInput) -> str:
    return ActivityEnvironment().run(stage.activities.sign_commitment, job).commitment_digest


def opened(folder: Path) -> xarray.Dataset:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zarr warns of codecs outside its core
        return xarray.open_zarr(folder, consolidated=False, decode_times=False).load()


def test_store_is_complete_readable_and_equal_to_the_forecast(make_stage: MakeStage) -> None:
    stage = make_stage({"name": "trade-wind", "kind": "skilful", "parameters": {"skill": 1.2}})
    call, job = stage.receive("trade-wind")
    written = make_forecast(stage, job)
    folder = stage.premises.store(job.job_id)
    assert {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} == {
        MANIFEST,
        *LAYOUT.object_set(),
    }
    dataset = opened(folder)
    forecast = Planet(SEED).miner_forecast("trade-wind", 1.2, T0, 120)
    expected = forecast.field("z", 500, GRID).values
    np.testing.assert_array_equal(dataset["z"].sel(lead_time=120, level=500).values, expected)
    assert dataset["2t"].attrs["units"] == "K" and dataset["lead_time"].values.tolist() == [60, 120, 180, 240]
    assert not any(np.isnan(dataset[name]).any() for name in ("2t", "10v", "msl", "t", "z"))
    assert written.object_count == len(LAYOUT.object_set())
    for path in ("zarr.json", "z/zarr.json", "latitude/zarr.json"):
        check_metadata(path, (folder / path).read_bytes(), LAYOUT, call.identity(job.hotkey))


def test_model_that_takes_its_time_is_not_taken_for_dead(make_stage: MakeStage) -> None:
    stage = make_stage({"name": "calm"})
    _, job = stage.receive("calm")
    environment, seen = ActivityEnvironment(), Event()
    environment.info = replace(environment.info, heartbeat_timeout=timedelta(milliseconds=30))
    environment.run(stage.activities.fetch_gfs, job)
    beats: list[object] = []

    def beat(*details: object) -> None:
        beats.append(details)
        if len(beats) == 3:
            seen.set()

    class Thinking(MinerActivities):
        def _forecaster(self, *given: Any) -> Forecaster:
            environment.on_heartbeat = beat
            assert seen.wait(10)
            return super()._forecaster(*given)

    thinking = Thinking(stage.miners, stage.premises, stage.activities._library)
    assert environment.run(thinking.run_inference, job).leads == 4


def test_commitment_fits_call_manifest_and_layout_and_the_first_one_stands(make_stage: MakeStage) -> None:
    stage = make_stage({"name": "calm"})
    call, job = stage.receive("calm")
    make_forecast(stage, job)
    digest = sign(stage, job)
    assert sign(stage, job) == digest
    stored = stage.premises.jobs.get(job.job_id)
    assert stored is not None and stored.offer is not None and stored.status == "completed"
    commitment = accept(stored.offer, call, job.hotkey, LAYOUT)
    assert commitment.digest == digest and commitment.input_data_hash == call.input_data_hash
    folder = stage.premises.store(job.job_id)
    manifest = Manifest.read((folder / MANIFEST).read_bytes(), job.job_id, commitment.object_count)
    manifest.check_against(commitment, LAYOUT)
    for entry in manifest.objects:
        body = (folder / entry.path).read_bytes()
        assert (len(body), hashlib.sha256(body).hexdigest()) == (entry.size, entry.sha256)


def test_persistence_is_the_public_analysis_at_every_lead(make_stage: MakeStage) -> None:
    stage = make_stage({"name": "calm"})
    _, job = stage.receive("calm")
    make_forecast(stage, job)
    dataset = opened(stage.premises.store(job.job_id))
    first, last = (dataset["t"].sel(level=500, lead_time=lead).values for lead in (60, 240))
    np.testing.assert_array_equal(first, last)
    state = Planet(SEED).gfs_analysis(T0).field("t", 500, GRID).values
    assert 0 < float(np.abs(first - state).max()) < 0.01


def test_interrupted_inference_goes_on_at_the_lead_that_was_reported(make_stage: MakeStage) -> None:
    stage = make_stage({"name": "calm", "kind": "skilful"})
    _, job = stage.receive("calm")
    environment = ActivityEnvironment()
    environment.run(stage.activities.fetch_gfs, job)
    environment.run(stage.activities.run_inference, job)
    unfinished = stage.premises.store(job.job_id).with_name(f"{job.job_id}.part")
    early, late = (unfinished / LAYOUT.chunk_path("2t", 0, lead) for lead in (60, 240))
    for path in (early, late):
        path.write_bytes(b"mark")
    again = ActivityEnvironment()
    again.info = replace(again.info, heartbeat_details=[{"spent": {}, "progress": 3}])
    beats: list[object] = []
    again.on_heartbeat = lambda *details: beats.append(details[0])
    again.run(stage.activities.run_inference, job)
    assert early.read_bytes() == b"mark" and late.read_bytes() != b"mark"
    assert beats == [{"spent": {}, "progress": 3}, {"spent": {}, "progress": 4}]


def test_inputs_are_fetched_once_for_all_miners_of_the_process(make_stage: MakeStage) -> None:
    stage = make_stage({"name": "calm"}, {"name": "trade-wind"})
    environment = ActivityEnvironment()
    environment.run(stage.activities.fetch_gfs, stage.receive("calm")[1])
    for kept in (stage.settings.data_dir / "objects" / "bytes").rglob("*"):
        if kept.is_file():
            kept.unlink()
    fetched = environment.run(stage.activities.fetch_gfs, stage.receive("trade-wind")[1])
    assert fetched.fields == 14
    assert not [path for path in (stage.settings.data_dir / "objects" / "bytes").rglob("*") if path.is_file()]


def test_inputs_that_are_not_those_of_the_call_are_refused_and_shown(make_stage: MakeStage) -> None:
    stage = make_stage({"name": "calm"})
    honest = stage.make_call

    def forged(hotkey: str):
        call = honest(hotkey)
        first, *rest = call.gfs_init_metadata.objects
        metadata = {"objects": (first.model_copy(update={"sha256": "00" * 32}), *rest)}
        return call.model_copy(update={"gfs_init_metadata": call.gfs_init_metadata.model_copy(update=metadata)})

    stage.make_call = forged
    _, job = stage.receive("calm")
    with pytest.raises((SourceCorrupt, ValueError)):
        ActivityEnvironment().run(stage.activities.fetch_gfs, job)
    shown = stage.premises.jobs.get(job.job_id)
    assert shown is not None and (shown.status, shown.error_code) == ("error", "input_unavailable")


def test_job_of_another_process_is_refused(make_stage: MakeStage) -> None:
    stage = make_stage({"name": "calm"})
    job = MinerJobInput(job_id="d728e0eb-1c1a-5e70-9de4-ac16a13782d4", hotkey="aa" * 32, run_id="x")
    with pytest.raises(PrerequisiteMissing):
        ActivityEnvironment().run(stage.activities.sign_commitment, job)


def test_expired_store_is_gone_and_expiring_twice_is_harmless(make_stage: MakeStage) -> None:
    stage = make_stage({"name": "calm"})
    _, job = stage.receive("calm")
    make_forecast(stage, job)
    sign(stage, job)
    for _ in range(2):
        ActivityEnvironment().run(stage.activities.expire_store, job)
    assert not stage.premises.store(job.job_id).exists()
    expired = stage.premises.jobs.get(job.job_id)
    assert expired is not None and expired.expired_at == NOW.isoformat()


def test_flipped_byte_is_in_one_scored_chunk_only(make_stage: MakeStage) -> None:
    stage = make_stage({"name": "liar", "kind": "skilful", "cheat": "flips_byte"})
    _, job = stage.receive("liar")
    make_forecast(stage, job)
    sign(stage, job)
    folder = stage.premises.store(job.job_id)
    manifest = Manifest.read((folder / MANIFEST).read_bytes(), job.job_id, len(LAYOUT.object_set()))
    wrong = [
        entry.path
        for entry in manifest.objects
        if hashlib.sha256((folder / entry.path).read_bytes()).hexdigest() != entry.sha256
    ]
    assert wrong == [LAYOUT.chunk_path("z", 1000, 120)]
    assert (folder / wrong[0]).stat().st_size == manifest.entry(wrong[0]).size


def test_copied_gfs_is_the_public_forecast_unchanged(make_stage: MakeStage) -> None:
    stage = make_stage({"name": "copyist", "kind": "copied_gfs"})
    _, job = stage.receive("copyist")
    make_forecast(stage, job)
    copied = opened(stage.premises.store(job.job_id))["z"].sel(level=500, lead_time=240).values
    public = Planet(SEED).gfs_forecast(T0, 240).field("z", 500, GRID).values
    assert float(np.abs(copied - public).max()) < 1.0


def test_other_simple_kinds_read_climatology_and_fill_the_store(make_stage: MakeStage) -> None:
    kinds = ("climatology", "damped_persistence", "advected_persistence")
    stage = make_stage(*({"name": kind.replace("_", "-"), "kind": kind} for kind in kinds))
    for kind in kinds:
        _, job = stage.receive(kind.replace("_", "-"))
        make_forecast(stage, job)
        found = opened(stage.premises.store(job.job_id))["msl"].sel(lead_time=240).values
        normal = Planet(SEED).climatology(T0 + timedelta(hours=240)).field("msl", 0, GRID).values
        assert float(np.abs(found - normal).max()) < 200.0
