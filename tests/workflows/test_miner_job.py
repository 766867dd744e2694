"""`MinerJob` on the time-skipping server, with typed fakes instead of a miner."""

from __future__ import annotations

import shutil
import sys
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
import pytest_asyncio
from temporalio import activity
from temporalio.client import WorkflowFailureError, WorkflowHandle
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.exceptions import ApplicationError, CancelledError
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from activities.messages.inference import (
    Expired,
    FetchedInputs,
    Inferred,
    MinerJobInput,
    MinerJobResult,
    Requested,
    SignedCommitment,
    Submission,
    SubmitCommitment,
    WrittenStore,
)
from activities.signatures import methods
from adapters.temporal_client import workflow_runner
from workflows.miner_job import MinerJob

pytestmark = pytest.mark.asyncio(loop_scope="module")

NORTH, SOUTH = "aa" * 32, "bb" * 32


class FakeInference:
    """Counts its calls; fails the first `refusals` submissions of a validator and every `broken` step."""

    def __init__(self, refusals: int = 0, broken: str = "", final_refusal: str = "") -> None:
        self.calls: Counter[str] = Counter()
        self.refusals, self.broken, self.final_refusal = refusals, broken, final_refusal
        self.signed_at: datetime | None = None

    def _count(self, key: str) -> int:
        self.calls[key] += 1
        if key == self.broken:
            raise ApplicationError(f"{key} is broken", type="SourceGone", non_retryable=True)
        return self.calls[key]

    @activity.defn
    def fetch_gfs(self, job: MinerJobInput) -> FetchedInputs:
        self._count("fetch_gfs")
        return FetchedInputs(input_data_hash="33" * 32, fields=38)

    @activity.defn
    def run_inference(self, job: MinerJobInput) -> Inferred:
        self._count("run_inference")
        return Inferred(leads=40)

    @activity.defn
    def write_store(self, job: MinerJobInput) -> WrittenStore:
        self._count("write_store")
        return WrittenStore(root="11" * 32, object_count=780, total_bytes=4_000_000)

    @activity.defn
    def sign_commitment(self, job: MinerJobInput) -> SignedCommitment:
        self._count("sign_commitment")
        self.signed_at = activity.info().current_attempt_scheduled_time
        return SignedCommitment(commitment_digest="22" * 32)

    @activity.defn
    def submit_commitment(self, request: SubmitCommitment) -> Submission:
        attempt = self._count(f"submit {request.validator[:2]}")
        if request.validator == self.final_refusal:
            raise ApplicationError("sealed", type="LedgerConflict", non_retryable=True)
        if attempt <= self.refusals:
            raise ApplicationError("no receipt", type="TransferFailed")
        return Submission(validator=request.validator, leaf_index=attempt, in_time=True)

    @activity.defn
    def expire_store(self, job: MinerJobInput) -> Expired:
        self._count("expire_store")
        return Expired(objects=780)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def environment() -> AsyncIterator[WorkflowEnvironment]:
    async with await WorkflowEnvironment.start_time_skipping(
        test_server_existing_path=shutil.which("temporal-test-server", path=str(Path(sys.executable).parent)),
        data_converter=pydantic_data_converter,
    ) as env:
        yield env


class Play:
    """One job on its own queue; `ask` is what call 2 does."""

    def __init__(self, environment: WorkflowEnvironment, fake: FakeInference, queue: str) -> None:
        self.environment, self.fake, self.queue = environment, fake, queue
        self.job = MinerJobInput(job_id=str(uuid4()), hotkey="cc" * 32, run_id="forecast/2026-11-22T18Z", name="calm")

    async def ask(
        self, validator: str, minutes: float = 60, hold_back: timedelta | None = None
    ) -> WorkflowHandle[MinerJob, MinerJobResult]:
        deadline = await self.environment.get_current_time() + timedelta(minutes=minutes)
        request = Requested(validator=validator, deadline=deadline, retain_until=deadline + timedelta(days=15))
        return await self.environment.client.start_workflow(
            MinerJob.run,
            self.job.model_copy(update={"hold_back": hold_back}),
            id=f"{self.queue}/job",
            task_queue=self.queue,
            start_signal="requested",
            start_signal_args=[request],
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY,
        )


@asynccontextmanager
async def play(environment: WorkflowEnvironment, fake: FakeInference, cached: int = 100) -> AsyncGenerator[Play]:
    queue = f"inference-{uuid4()}"
    with ThreadPoolExecutor(4) as executor:
        activities = methods(fake)
        async with (
            Worker(
                environment.client,
                task_queue="inference",
                activities=activities,
                activity_executor=executor,
            ),
            Worker(
                environment.client,
                task_queue=queue,
                workflows=[MinerJob],
                workflow_runner=workflow_runner(),
                max_cached_workflows=cached,
                workflow_failure_exception_types=[Exception],
            ),
        ):
            yield Play(environment, fake, queue)


@pytest.mark.parametrize("cached", [100, 0])
async def test_forecast_is_made_once_submitted_kept_and_expired(environment: WorkflowEnvironment, cached: int) -> None:
    fake = FakeInference()
    async with play(environment, fake, cached) as scene:
        started = await environment.get_current_time()
        result = await (await scene.ask(NORTH)).result()
        lasted = await environment.get_current_time() - started
    assert result.commitment_digest == "22" * 32 and result.total_bytes == 4_000_000
    assert result.submissions == (Submission(validator=NORTH, leaf_index=1, in_time=True),)
    assert lasted >= timedelta(days=15)
    assert set(fake.calls.values()) == {1} and len(fake.calls) == 6


async def test_second_validator_only_adds_itself(environment: WorkflowEnvironment) -> None:
    fake = FakeInference()
    async with play(environment, fake) as scene:
        first = await scene.ask(NORTH)
        second = await scene.ask(SOUTH)
        result = await first.result()
    assert first.result_run_id == second.result_run_id
    assert [submission.validator for submission in result.submissions] == [NORTH, SOUTH]
    assert fake.calls["run_inference"] == 1 and fake.calls["sign_commitment"] == 1


async def test_validator_that_joins_while_the_store_is_kept_gets_its_commitment(
    environment: WorkflowEnvironment,
) -> None:
    fake = FakeInference()
    async with play(environment, fake) as scene:
        handle = await scene.ask(NORTH)
        await environment.sleep(timedelta(days=1))
        await scene.ask(SOUTH)
        await environment.sleep(timedelta(hours=1))
        status = await handle.query(MinerJob.status)
        result = await handle.result()
    assert status.stage == "serving" and status.validators == (NORTH, SOUTH)
    assert [submission.leaf_index for submission in result.submissions] == [1, 1]
    assert fake.calls["run_inference"] == 1


async def test_submission_is_repeated_until_there_is_a_receipt(environment: WorkflowEnvironment) -> None:
    fake = FakeInference(refusals=4)
    async with play(environment, fake) as scene:
        result = await (await scene.ask(NORTH)).result()
    assert result.submissions[0].leaf_index == 5
    assert fake.calls["submit aa"] == 5


async def test_validator_that_refuses_for_good_is_given_up_and_the_store_is_kept(
    environment: WorkflowEnvironment,
) -> None:
    fake = FakeInference(final_refusal=NORTH)
    async with play(environment, fake) as scene:
        result = await (await scene.ask(NORTH)).result()
    (given_up,) = result.submissions
    assert given_up.leaf_index is None
    assert given_up.fault is not None and given_up.fault.code == "LedgerConflict"
    assert fake.calls["expire_store"] == 1


async def test_commitment_held_back_is_signed_after_the_deadline(environment: WorkflowEnvironment) -> None:
    fake = FakeInference()
    async with play(environment, fake) as scene:
        handle = await scene.ask(NORTH, hold_back=timedelta(seconds=7))
        await handle.result()
        asked = (await handle.describe()).start_time
    assert fake.signed_at is not None
    assert fake.signed_at >= asked + timedelta(minutes=60, seconds=6)


async def test_job_that_cannot_be_done_fails_and_may_be_asked_for_again(environment: WorkflowEnvironment) -> None:
    async with play(environment, FakeInference(broken="fetch_gfs")) as scene:
        handle = await scene.ask(NORTH)
        with pytest.raises(WorkflowFailureError):
            await handle.result()
        scene.fake.broken = ""
        again = await scene.ask(NORTH)
        assert again.result_run_id != handle.result_run_id
        assert (await again.result()).commitment_digest == "22" * 32


async def test_cancelled_job_ends_as_cancelled(environment: WorkflowEnvironment) -> None:
    async with play(environment, FakeInference()) as scene:
        handle = await scene.ask(NORTH)
        await environment.sleep(timedelta(hours=1))
        await handle.cancel()
        with pytest.raises(WorkflowFailureError) as caught:
            await handle.result()
    assert isinstance(caught.value.cause, CancelledError)
