"""Call 3 to a validator over real HTTP."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager

import pytest
from temporalio.testing import ActivityEnvironment

from activities.messages.inference import MinerJobInput, Submission, SubmitCommitment
from tests.activities.miner.conftest import NOW, VALIDATOR, Stage
from tests.activities.miner.validator import Act, FakeValidator, listening
from tests.fixed_clock import FixedClock
from weather.faults import BadAnswer, EgressDown, PolicyRefusal, PrerequisiteMissing

MakeStage = Callable[..., Stage]


@contextmanager
def signed_job(make_stage: MakeStage, *acts: Act) -> Generator[tuple[Stage, MinerJobInput, FakeValidator]]:
    """A signed job and a validator that will play the acts."""
    with listening(FakeValidator(VALIDATOR, FixedClock(NOW), acts=list(acts))) as validator:
        stage = make_stage({"name": "gale"}, validator_url=validator.url)
        _, job = stage.receive("gale")
        environment = ActivityEnvironment()
        for step in ("fetch_gfs", "run_inference", "write_store", "sign_commitment"):
            environment.run(getattr(stage.activities, step), job)
        yield stage, job, validator


def submit(stage: Stage, job: MinerJobInput) -> Submission:
    request = SubmitCommitment(job=job, validator=VALIDATOR.hotkey)
    return ActivityEnvironment().run(stage.activities.submit_commitment, request)


@pytest.mark.parametrize("act", ["stores", "has it"])
def test_receipt_is_kept_whether_the_commitment_is_new_or_known(make_stage: MakeStage, act: Act) -> None:
    with signed_job(make_stage, act) as (stage, job, validator):
        submission = submit(stage, job)
    assert submission == Submission(validator=VALIDATOR.hotkey, leaf_index=0, in_time=True)
    assert stage.premises.jobs.receipt(job.job_id, VALIDATOR.hotkey)
    assert validator.received[0].hotkey == job.hotkey


def test_submission_is_tried_again_until_the_receipt_holds_and_always_sends_the_same(make_stage: MakeStage) -> None:
    with signed_job(make_stage, "is busy", "signs for another", "logs another") as (stage, job, validator):
        for kind in (EgressDown, BadAnswer, BadAnswer):
            with pytest.raises(kind):
                submit(stage, job)
            assert stage.premises.jobs.receipt(job.job_id, VALIDATOR.hotkey) is None
        assert submit(stage, job).leaf_index == 0
    assert len({commitment.digest for commitment in validator.received}) == 1 and len(validator.received) == 4


def test_final_refusal_cannot_be_retried(make_stage: MakeStage) -> None:
    refusal = pytest.raises(PolicyRefusal, match="Forbidden: sealed")
    with signed_job(make_stage, "refuses") as (stage, job, _), refusal as refused:
        submit(stage, job)
    assert not refused.value.retryable


def test_validator_that_does_not_listen_is_tried_again(make_stage: MakeStage) -> None:
    with signed_job(make_stage) as (stage, job, _):
        pass
    with pytest.raises(EgressDown):
        submit(stage, job)


def test_nothing_is_sent_before_the_commitment_is_stored(make_stage: MakeStage) -> None:
    stage = make_stage({"name": "calm"})
    _, job = stage.receive("calm")
    with pytest.raises(PrerequisiteMissing, match="not signed"):
        submit(stage, job)
