"""The miner's side of a forecast run."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

from temporalio import workflow
from temporalio.exceptions import ActivityError

from activities import signatures
from activities.messages.inference import (
    JobStatus,
    MinerJobInput,
    MinerJobResult,
    Requested,
    Submission,
    SubmitCommitment,
)
from activities.signatures import Answer, Signature
from workflows import display
from workflows.failures import fault_of
from workflows.steps import left, perform

SUBMIT_PAST_DEADLINE = timedelta(minutes=10)


@workflow.defn
class MinerJob:
    """Fetch, infer, write, sign, submit to each validator that asked, serve, expire."""

    @workflow.init
    def __init__(self, job: MinerJobInput) -> None:
        self._job = job
        self._stage = "requested"
        self._asked: dict[str, Requested] = {}
        self._submissions: dict[str, Submission] = {}
        self._submitting: dict[str, asyncio.Task[None]] = {}

    @workflow.run
    async def run(self, job: MinerJobInput) -> MinerJobResult:
        await workflow.wait_condition(lambda: bool(self._asked))
        await self._before_deadline("fetching", signatures.FETCH_GFS)
        await self._before_deadline("inference", signatures.RUN_INFERENCE)
        store = await self._before_deadline("writing", signatures.WRITE_STORE)
        await self._hold_back()
        signed = await self._call("signing", signatures.SIGN_COMMITMENT)
        await self._serve()
        await self._call("expiring", signatures.EXPIRE_STORE)
        self._enter("expired")
        return MinerJobResult(
            commitment_digest=signed.commitment_digest, total_bytes=store.total_bytes, submissions=self._settled()
        )

    @workflow.signal
    def requested(self, request: Requested) -> None:
        """Another validator only adds itself; the same one may move its instants."""
        self._asked[request.validator] = request

    @workflow.query
    def status(self) -> JobStatus:
        """What is being done, by when, for whom."""
        return JobStatus(
            stage=self._stage,
            deadline=self._deadline() if self._asked else None,
            retain_until=self._retain_until() if self._asked else None,
            validators=tuple(sorted(self._asked)),
            submissions=self._settled(),
        )

    def _deadline(self) -> datetime:
        return min(request.deadline for request in self._asked.values())

    def _retain_until(self) -> datetime:
        return max(request.retain_until for request in self._asked.values())

    def _settled(self) -> tuple[Submission, ...]:
        return tuple(self._submissions[validator] for validator in sorted(self._submissions))

    def _enter(self, stage: str) -> None:
        self._stage = stage
        due, kept = display.instant(self._deadline()), display.instant(self._retain_until())
        workflow.set_current_details(f"**{stage}** · commitment due {due} · store kept until {kept}")

    async def _before_deadline(self, stage: str, signature: Signature[MinerJobInput, Answer]) -> Answer:
        return await self._call(stage, signature, schedule_to_close_timeout=left(self._deadline()))

    async def _call(self, stage: str, signature: Signature[MinerJobInput, Answer], **times: timedelta) -> Answer:
        self._enter(stage)
        return await perform(signature, self._job, f"{stage} · {self._job.name}", **times)

    async def _hold_back(self) -> None:
        if self._job.hold_back is None:
            return
        self._enter("holding back")
        until = self._deadline() + self._job.hold_back
        await workflow.sleep(max(until - workflow.now(), timedelta(0)), summary="hold the commitment back")

    async def _serve(self) -> None:
        self._enter("serving")
        while (remaining := self._retain_until() - workflow.now()) > timedelta(0):
            self._submit_to_newcomers()
            try:
                await workflow.wait_condition(self._has_newcomers, timeout=remaining, timeout_summary="keep the store")
            except TimeoutError:
                continue
        await workflow.wait_condition(lambda: all(task.done() for task in self._submitting.values()))

    def _has_newcomers(self) -> bool:
        return any(validator not in self._submitting for validator in self._asked)

    def _submit_to_newcomers(self) -> None:
        for validator in sorted(self._asked.keys() - self._submitting.keys()):
            self._submitting[validator] = asyncio.create_task(self._submit(validator))

    async def _submit(self, validator: str) -> None:
        try:
            self._submissions[validator] = await perform(
                signatures.SUBMIT_COMMITMENT,
                SubmitCommitment(job=self._job, validator=validator),
                f"commit to {validator[:8]}",
                schedule_to_close_timeout=left(self._asked[validator].deadline + SUBMIT_PAST_DEADLINE),
            )
        except ActivityError as error:
            self._submissions[validator] = Submission(validator=validator, fault=fault_of(error))
