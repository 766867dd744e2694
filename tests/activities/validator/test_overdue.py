"""Rounds past their time end on what is recorded, whoever was down (AT-R6)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from temporalio.client import Client
from temporalio.testing import ActivityEnvironment

from activities.messages.run import ForecastRunInput
from activities.messages.weights import OverdueSettled
from activities.rounds import LedgerRounds
from adapters.ledger import facts, runs
from adapters.temporal_client import connect
from protocol.facts import facts_digest, faults_digest
from starter.embedded import NAMESPACE
from tests.activities.validator.test_closing import GOLDEN, board, close, opened, plant
from tests.activities.validator.world import ALICE, BOB, T0, Opened, Validator, do

pytestmark = pytest.mark.server
__all__ = ["opened"]
AFTER = T0 + timedelta(days=60)


@pytest.fixture
async def client(temporal_address: str) -> AsyncIterator[Client]:
    yield await connect(temporal_address, NAMESPACE)


async def settle(validator: Validator, client: Client, as_of: datetime) -> OverdueSettled:
    nothing: Any = None
    parts = validator.ledger, client, validator.opening, validator.runs
    rounds = LedgerRounds(*parts, registry=nothing, genesis=nothing, cadence=timedelta(hours=6))
    return await ActivityEnvironment().run(rounds.settle, as_of, AFTER)


def outcomes(validator: Validator) -> list[tuple[str, str | None, str | None]]:
    with validator.ledger.read() as session:
        return [(run.run_id, run.status, run.outcome_reason) for run in reversed(runs.list_runs(session))]


async def test_what_was_recorded_closes_as_it_would_have_in_time(
    validator: Validator, opened: Opened, client: Client
) -> None:
    plant(validator, opened, ALICE, BOB)
    settled = await settle(validator, client, opened.run.close_by + timedelta(seconds=1))
    assert (settled.closed, settled.waiting) == ((opened.run.run_id,), ())
    assert outcomes(validator) == [(opened.run.run_id, "completed", "complete")]
    again = close(validator, opened)
    with validator.ledger.read() as session:
        recorded, faults = facts.facts_of(session, again.run_id), facts.faults_of(session, again.run_id)
    assert (again.facts_digest, again.faults_digest) == (facts_digest(recorded), faults_digest(faults))
    assert board(validator, opened) == {key.hotkey: (1, GOLDEN, None) for key in (ALICE, BOB)}
    assert (await settle(validator, client, opened.run.close_by + timedelta(seconds=1))).closed == ()


async def test_a_round_that_was_down_from_the_seal_on_is_void_for_all(validator: Validator, client: Client) -> None:
    opened = validator.open()
    assert (await settle(validator, client, opened.run.close_by)).closed == ()
    settled = await settle(validator, client, opened.run.close_by + timedelta(seconds=1))
    assert settled.closed == (opened.run.run_id,)
    assert outcomes(validator) == [(opened.run.run_id, "error", "coverage")]


async def test_a_round_with_a_workflow_closes_itself(validator: Validator, opened: Opened, client: Client) -> None:
    await client.start_workflow("ForecastRun", id=opened.run.run_id, task_queue="nobody")
    settled = await settle(validator, client, opened.run.close_by + timedelta(seconds=1))
    assert (settled.closed, settled.waiting) == ((), (opened.run.run_id,))
    await client.get_workflow_handle(opened.run.run_id).terminate()


async def test_cycles_that_were_never_opened_are_written_down_as_void(validator: Validator, client: Client) -> None:
    first = validator.open(ForecastRunInput(init_time=T0 - timedelta(days=1)))
    half = do(validator.opening.open_run, ForecastRunInput(init_time=T0 - timedelta(hours=18)))
    limit = first.run.close_by + timedelta(hours=12, seconds=1)
    settled = await settle(validator, client, limit)
    assert settled.closed == (first.run.run_id, half.run_id, "forecast/2026-11-22T06Z")
    assert outcomes(validator)[1:] == [(run_id, "error", "not_run") for run_id in settled.closed[1:]]
