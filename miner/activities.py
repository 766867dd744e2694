"""The miner's activities: thin steps between the job table, the library, the kinds of forecast and the store."""

from __future__ import annotations

import asyncio
import secrets
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from datetime import timedelta

from temporalio import activity

from activities import attempts
from activities.messages.inference import (
    Expired,
    FetchedInputs,
    Inferred,
    MinerJobInput,
    SignedCommitment,
    Submission,
    SubmitCommitment,
    WrittenStore,
)
from miner.forecasts import KINDS, Forecaster, Inputs
from miner.inputs import Library
from miner.jobs import Job, Stage
from miner.log_watch import watch_log
from miner.premises import HostedMiner, Premises
from miner.store_writer import StoreWriter
from miner.submission import submit
from protocol.commitment import Commitment
from protocol.layout import Layout
from protocol.messages import ForecastRequestData
from weather.faults import PrerequisiteMissing

SIX_HOURS = timedelta(hours=6)
FAILED: dict[Stage, str] = {
    "fetching": "input_unavailable",
    "inference": "inference_failed",
    "writing": "storage_failed",
}


class MinerActivities:
    """Serves all miners of the process, by the hotkey of the job."""

    def __init__(self, miners: Mapping[str, HostedMiner], premises: Premises, library: Library) -> None:
        self._miners = miners
        self._premises = premises
        self._library = library

    @activity.defn
    def fetch_gfs(self, job: MinerJobInput) -> FetchedInputs:
        with self._stage(job, "fetching") as (call, writer):
            fields = self._library.fetch(call, writer.layout.grid_value)
        return FetchedInputs(input_data_hash=call.input_data_hash, fields=fields)

    @activity.defn
    def run_inference(self, job: MinerJobInput) -> Inferred:
        with self._stage(job, "inference") as (call, writer):
            leads = writer.layout.lead_time_hours
            if not writer.complete:
                done = attempts.resumed() or 0 if writer.unfinished.exists() else 0
                forecast = self._forecaster(job, call, writer.layout)
                for count, lead_hours in enumerate(leads[done:], done + 1):
                    writer.write_lead(lead_hours, forecast(lead_hours))
                    attempts.heartbeat(count)
        return Inferred(leads=len(leads))

    @activity.defn
    def write_store(self, job: MinerJobInput) -> WrittenStore:
        with self._stage(job, "writing") as (call, writer):
            manifest = writer.finish(call.identity(job.hotkey))
            tamper = self._miners[job.hotkey].cheat.tamper
            if tamper and not writer.complete:
                tamper(writer.unfinished, writer.layout)
            writer.publish()
        return WrittenStore(root=manifest.root, object_count=manifest.object_count, total_bytes=manifest.total_bytes)

    @activity.defn
    def sign_commitment(self, job: MinerJobInput) -> SignedCommitment:
        call, writer = self._task(job)
        manifest = writer.finish(call.identity(job.hotkey))
        commitment = Commitment(
            **call.identity(job.hotkey).model_dump(),
            score_spec_digest=call.score_spec_digest,
            input_data_hash=call.input_data_hash,
            root=manifest.root,
            object_count=manifest.object_count,
            total_bytes=manifest.total_bytes,
            salt=secrets.token_hex(32),
        )
        signature = commitment.sign(self._miners[job.hotkey].key)
        stored = self._premises.jobs.sign(job.job_id, commitment.canonical.decode(), signature)
        return SignedCommitment(commitment_digest=Commitment.parse(stored.encode()).digest)

    @activity.defn
    def submit_commitment(self, request: SubmitCommitment) -> Submission:
        job, validator = request.job, request.validator
        offer = self._job(job).offer
        if offer is None:
            raise PrerequisiteMissing(f"job {job.job_id} is not signed")
        answer = asyncio.run(submit(offer, validator, self._miners[job.hotkey], self._premises))
        self._premises.jobs.keep_receipt(job.job_id, validator, answer.body.decode())
        watch_log(validator, answer, self._premises)
        return Submission(validator=validator, leaf_index=answer.receipt.leaf_index, in_time=answer.in_time)

    @activity.defn
    def expire_store(self, job: MinerJobInput) -> Expired:
        _, writer = self._task(job)
        self._premises.jobs.expire(job.job_id, self._premises.clock.now())
        writer.remove()
        return Expired(objects=len(writer.layout.object_set()))

    @contextmanager
    def _stage(self, job: MinerJobInput, stage: Stage) -> Generator[tuple[ForecastRequestData, StoreWriter]]:
        """Shows in the job table what is being done, and how it failed."""
        self._premises.jobs.enter(job.job_id, stage)
        try:
            with attempts.beating_thread():
                yield self._task(job)
        finally:
            if error := sys.exception():
                self._premises.jobs.fail(job.job_id, FAILED[stage], str(error))

    def _forecaster(self, job: MinerJobInput, call: ForecastRequestData, layout: Layout) -> Forecaster:
        me, library, grid, channels = self._miners[job.hotkey], self._library, layout.grid_value, layout.fields()
        fetched = library.inputs(call.input_data_hash, grid)
        inputs = Inputs(
            name=me.settings.name,
            layout=layout,
            init_time=call.gfs_init_time,
            analysis=fetched.get(call.gfs_init_time, {}),
            earlier=fetched.get(call.gfs_init_time - SIX_HOURS, {}),
            climatology=lambda valid_time: library.climatology(valid_time, grid, channels),
            gfs=lambda lead_hours: library.gfs(call.gfs_init_time, lead_hours, grid, channels),
            decode=library.decode,
        )
        return KINDS[me.settings.kind](inputs, **me.settings.parameters)

    def _task(self, job: MinerJobInput) -> tuple[ForecastRequestData, StoreWriter]:
        """The call of a job, and who writes its store."""
        call = ForecastRequestData.parse(self._job(job).call.encode())
        return call, StoreWriter(self._premises.store(job.job_id), self._premises.catalog.layout(call.grid))

    def _job(self, job: MinerJobInput) -> Job:
        found = self._premises.jobs.get(job.job_id)
        if found is None or found.hotkey not in self._miners:
            raise PrerequisiteMissing(f"job {job.job_id} is not of this process", found=job.hotkey)
        return found
