"""All audits of a run on a real ledger under skipped time, no secret in a history; `BAROGRAPH_LONG` plays 1,024."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import AsyncGenerator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from temporalio import activity
from temporalio.client import Client, WorkflowHistory
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from activities import task_queues
from activities.audits import LedgerAuditRecords
from activities.messages.audits import AuditObjects, ObjectsAudited, RetentionAuditInput, RetentionAuditResult
from activities.messages.run import ForecastRunInput, Run, Step
from adapters.ledger import audits, log, responses
from adapters.ledger.commitments import record_commitment
from adapters.ledger.engine import Ledger, upgrade
from adapters.ledger.rows import rows_of
from adapters.ledger.tables.commitments import AuditRow
from adapters.ledger.values import ReceivedCommitment, ResponseStep
from adapters.object_store import ObjectStore
from adapters.temporal_client import workflow_runner
from protocol.audits import AuditPlan, AuditSecret
from protocol.commitment import Commitment
from protocol.identity import PrivateKey
from protocol.names import audits_workflow_id, parse_stamp
from tests.activities.validator.world import DEFAULTS, VALIDATOR, Opened, Validator, do
from tests.fixed_clock import FixedClock
from workflows.retention_audit import RetentionAudit

MINERS = 256 if os.environ.get("BAROGRAPH_LONG") else 32
STORE = "5" * 64


class EverythingServed:
    @activity.defn
    async def audit_objects(self, request: AuditObjects) -> ObjectsAudited:
        return ObjectsAudited()


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    url = f"sqlite:///{tmp_path}/ledger.db"
    upgrade(url)
    with Ledger(url) as ledger:
        yield ledger


def sealed_run(ledger: Ledger, folder: Path, now: datetime) -> tuple[Validator, Opened]:
    """A run of verified miners, sealed now."""
    keys = tuple(PrivateKey.from_bytes(bytes([number, 7] * 16)) for number in range(MINERS))
    init_time = now.replace(hour=now.hour - now.hour % 6, minute=0, second=0, microsecond=0)
    defaults = replace(DEFAULTS, hotkeys_per_address=None, min_window=timedelta(0))
    validator = Validator(ledger, ObjectStore(folder), clock=FixedClock(now), miners=keys, defaults=defaults)
    opened = validator.open(ForecastRunInput(init_time=init_time))
    run_id = opened.run.run_id
    with ledger.begin() as session:
        for key in keys:
            offer = opened.offer(key)
            commitment = Commitment.parse(offer.commitment)
            record_commitment(
                session,
                VALIDATOR,
                ReceivedCommitment(commitment=commitment, signature=offer.signature, received_at=now, channel="push"),
            )
            step = ResponseStep(run_id=run_id, hotkey=key.hotkey, to="verifying_manifest", at=now)
            responses.advance_response(session, step)
            verified = {"to": "verified_manifest_store_opened", "manifest_digest": STORE}
            responses.advance_response(session, step.model_copy(update=verified))
    do(validator.runs.seal_run, Step(run_id=run_id, at=now))
    return validator, opened


@asynccontextmanager
async def workers(client: Client, validator: Validator) -> AsyncGenerator[None]:
    records = LedgerAuditRecords(validator.ledger, validator.store, validator.catalog, VALIDATOR)
    with ThreadPoolExecutor(4) as threads:
        control = Worker(
            client,
            task_queue=task_queues.CONTROL,
            workflows=[RetentionAudit],
            activities=[records.take_audits, records.record_audits],
            activity_executor=threads,
            workflow_runner=workflow_runner(),
            workflow_failure_exception_types=[Exception],
        )
        downloads = Worker(client, task_queue=task_queues.DOWNLOADS, activities=[EverythingServed().audit_objects])
        async with control, downloads:
            yield


async def histories(client: Client, workflow_id: str, run_id: str | None) -> list[WorkflowHistory]:
    """Each execution of the chain."""
    found = []
    while run_id:
        found.append(await client.get_workflow_handle(workflow_id, run_id=run_id).fetch_history())
        run_id = found[-1].events[-1].workflow_execution_continued_as_new_event_attributes.new_execution_run_id
    return found


def told(history: WorkflowHistory) -> str:
    """Events and every payload in them, decoded."""
    text = history.to_json()
    return text + "".join(base64.b64decode(data).decode(errors="replace") for data in _payloads(json.loads(text)))


def _payloads(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        yield from (each for name, each in value.items() if name == "data" and isinstance(each, str))
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _payloads(part)


def plans(validator: Validator, run: Run) -> tuple[AuditSecret, dict[tuple[str, int], datetime]]:
    """What anyone can compute once the secret is revealed."""
    with validator.ledger.read() as session:
        secret = audits.secret_of(session, VALIDATOR, run.run_id)
        sealed = log.entry_of(session, run.run_id, "run_sealed")
        committed = audits.committed_in_time(session, run.run_id)
    assert secret is not None and sealed is not None
    sealed_at, last = parse_stamp(sealed["recorded_at"]), run.valid_time(max(run.final_lead_hours))
    return secret, {
        (one.hotkey, number): AuditPlan(secret, one.hotkey, one.commitment_digest).instant(number, sealed_at, last)
        for one in committed
        for number in range(4)
    }


@pytest.mark.timeout(300)
async def test_all_audits_of_a_run_are_on_time_and_no_history_shows_their_secret(
    skipping: WorkflowEnvironment, ledger: Ledger, tmp_path: Path
) -> None:
    now = (await skipping.get_current_time()).replace(microsecond=0)
    validator, opened = sealed_run(ledger, tmp_path / "objects", now)
    run = opened.run
    secret, expected = plans(validator, run)
    async with workers(skipping.client, validator):
        handle = await skipping.client.start_workflow(
            RetentionAudit.run,
            RetentionAuditInput(run=run, roster=opened.roster.entries),
            id=audits_workflow_id(run.run_id),
            task_queue=task_queues.CONTROL,
        )
        assert await handle.result() == RetentionAuditResult(done=4 * MINERS, failed=0)
        chain = await histories(skipping.client, handle.id, handle.result_run_id)
    with ledger.read() as session:
        rows = rows_of(session, AuditRow, run.run_id)
    assert {(row.hotkey, row.number): row.due for row in rows} == expected
    assert max(row.recorded_at - row.due for row in rows) <= timedelta(seconds=60)
    assert max(len(history.events) for history in chain) <= 1_500
    text = "".join(told(history) for history in chain)
    shown = (secret.raw.hex(), base64.b64encode(secret.raw).decode(), repr(secret.raw)[2:-1])
    assert not any(one in text for one in shown)
