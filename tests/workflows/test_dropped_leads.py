"""A miner that drops its long leads after the seal, against the real audits: over HTTP, on a real ledger."""

from __future__ import annotations

from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from activities import documents, task_queues
from activities.audits import LedgerAuditRecords
from activities.downloads import VerifiedDownloads
from activities.faults import FaultInterceptor
from activities.messages.audits import RetentionAuditInput, RetentionAuditResult
from activities.messages.run import ForecastRunInput, Step
from adapters.clock import Clock
from adapters.forecast_reader import ForecastReader
from adapters.ledger import facts, responses
from adapters.ledger.commitments import record_commitment
from adapters.ledger.engine import Ledger, upgrade
from adapters.ledger.values import FaultRecord, ReceivedCommitment, ResponseStep
from adapters.object_store import ObjectStore
from adapters.temporal_client import workflow_runner
from adapters.witness import Witness
from protocol.names import audits_workflow_id
from tests.activities.validator.tiny import QUICK, Post, tiny_catalog
from tests.activities.validator.world import DEFAULTS, T0, VALIDATOR, Opened, Validator, do
from tests.fixed_clock import FixedClock
from tests.hostile_miner import LAYOUT, MINER, HostileMiner, honest_objects, running
from workflows.retention_audit import RetentionAudit

FINAL = {(variable, level) for variable, level in LAYOUT.fields()}


@dataclass
class Stage:
    """A sealed run with one verified miner."""

    validator: Validator
    opened: Opened
    post: Post

    @property
    def miner(self) -> HostileMiner:
        return self.post.miner

    # long: two workers are wired
    async def audits(self, environment: WorkflowEnvironment) -> RetentionAuditResult:
        post, validator, client = self.post, self.validator, environment.client
        reader = ForecastReader(post.client, post.store, QUICK)
        auditor = VerifiedDownloads(reader, post.store, post.catalog, post.witness)
        records = LedgerAuditRecords(validator.ledger, validator.store, validator.catalog, VALIDATOR)
        run = self.opened.run.model_copy(update={"attempt_pauses": (timedelta(milliseconds=10),) * 2})
        with ThreadPoolExecutor(2) as threads:
            control = Worker(
                client,
                task_queue=task_queues.CONTROL,
                workflows=[RetentionAudit],
                activities=[records.take_audits, records.record_audits],
                activity_executor=threads,
                workflow_runner=workflow_runner(),
                workflow_failure_exception_types=[Exception],
            )
            downloads = Worker(
                client,
                task_queue=task_queues.DOWNLOADS,
                activities=[auditor.audit_objects],
                interceptors=[FaultInterceptor()],
            )
            async with control, downloads:
                return await client.execute_workflow(
                    RetentionAudit.run,
                    RetentionAuditInput(run=run, roster=post.target.roster),
                    id=audits_workflow_id(run.run_id),
                    task_queue=task_queues.CONTROL,
                )

    def lost(self) -> list[FaultRecord]:
        with self.validator.ledger.read() as session:
            return facts.faults_of(session, self.opened.run.run_id)


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    url = f"sqlite:///{tmp_path}/ledger.db"
    upgrade(url)
    with Ledger(url) as ledger, running() as server:
        store, catalog = ObjectStore(tmp_path / "objects"), tiny_catalog(tmp_path)
        clock = FixedClock(T0 + timedelta(hours=4))
        validator = Validator(ledger, store, catalog, clock, (MINER,), DEFAULTS)
        server.app = miner = HostileMiner()
        post = Post(server, miner, store, catalog, Witness(Clock()))
        opened = validator.open(ForecastRunInput(init_time=T0, grid=LAYOUT.grid))
        miner.call = documents.call(store, opened.call.sha256).addressed_to(MINER.hotkey)
        miner.objects = honest_objects(miner.call)
        commitment = miner.commit()
        received = ReceivedCommitment(
            commitment=commitment, signature=commitment.sign(MINER), received_at=clock.now(), channel="push"
        )
        with ledger.begin() as session:
            record_commitment(session, VALIDATOR, received)
        do(validator.runs.seal_run, Step(run_id=opened.run.run_id, at=clock.now()))
        verified = await post.verified()
        with ledger.begin() as session:
            step = ResponseStep(run_id=opened.run.run_id, hotkey=MINER.hotkey, to="verifying_manifest", at=clock.now())
            responses.advance_response(session, step)
            done = {"to": "verified_manifest_store_opened", "manifest_digest": verified.store}
            responses.advance_response(session, step.model_copy(update=done))
        yield Stage(validator, opened, post)


async def test_a_miner_that_serves_what_it_committed_passes_every_audit(
    skipping: WorkflowEnvironment, stage: Stage
) -> None:
    assert await stage.audits(skipping) == RetentionAuditResult(done=4, failed=0)
    assert stage.lost() == []


async def test_dropped_leads_are_settled_before_their_truth_is_there(
    skipping: WorkflowEnvironment, stage: Stage
) -> None:
    stage.miner.served = {path: body for path, body in stage.miner.served.items() if "/c/" not in path}
    result = await stage.audits(skipping)
    assert result.done == 4 and result.failed >= 2
    assert {(fault.variable, fault.level) for fault in stage.lost()} == FINAL
    assert {(fault.code, fault.effect, fault.lead_hours) for fault in stage.lost()} == {("AuditFailed", "W", 12)}


async def test_what_was_kept_before_it_was_dropped_is_not_lost(skipping: WorkflowEnvironment, stage: Stage) -> None:
    await stage.post.fetch(await stage.post.verified())
    stage.miner.served = {path: body for path, body in stage.miner.served.items() if "/c/" not in path}
    result = await stage.audits(skipping)
    assert result.failed >= 2
    assert stage.lost() == []
