"""What rounds come to when truth, workflow or registry fail them, on a validator's real ledger under skipped time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select
from temporalio.api.workflowservice.v1 import ListOpenWorkflowExecutionsRequest
from temporalio.client import WorkflowHandle
from temporalio.testing import WorkflowEnvironment

from activities.messages.run import ForecastRunInput
from adapters.ledger import runs
from adapters.ledger.engine import Ledger, upgrade
from adapters.ledger.facts import facts_of, run_record
from adapters.ledger.rows import rows_of
from adapters.ledger.tables.runs import OutboxRow, ScoringJobRow
from adapters.ledger.tables.weights import WeightVectorRoundRow
from adapters.ledger.views import ledger_digest
from adapters.round_backend import RoundBackend
from protocol import names
from tests.activities.backend.conftest import served
from tests.reference_backend import ReferenceBackend, Trouble
from tests.workflows.conftest import skipping_server
from tests.workflows.many_rounds import DAY, played
from tests.workflows.planet import Planet, key_of
from tests.workflows.test_forecast_run import next_cycle, start
from tests.workflows.test_many_rounds import ledger, open_round, publish, skip_to
from weather.round_score import decide_close
from workflows.trigger import OPENS_AFTER_INIT

__all__ = ["ledger"]
pytestmark = pytest.mark.timeout(120)
FIRST = next_cycle(datetime.now(UTC) + DAY).replace(hour=0)
ALL_LEADS = set(range(24, 241, 24))
FOUR, TWO = {72, 168, 216, 240}, {216, 240}
SECOND = timedelta(seconds=1)
Disturb = Callable[[WorkflowEnvironment, Planet, WorkflowHandle], Awaitable[WorkflowHandle]]


async def still_open(environment: WorkflowEnvironment) -> list[str]:
    answer = await environment.client.workflow_service.list_open_workflow_executions(
        ListOpenWorkflowExecutionsRequest(namespace="default")
    )
    return [each.execution.workflow_id for each in answer.executions]


# long: one story of two rounds
async def test_too_much_truth_that_never_comes_voids_a_round_and_a_little_the_same_cases_for_all(
    skipping: WorkflowEnvironment, ledger: Ledger, tmp_path: Path
) -> None:
    """AT-R5: of ten leads four are lost, or two."""
    void, partial = FIRST, FIRST + DAY
    planet = Planet(tmp_path, ledger, skipping.client, 3, grid="5p625-small", truthless={void: FOUR, partial: TWO})
    async with played(planet):
        for cycle in (void, partial):
            await open_round(skipping, cycle)
        assert len(await still_open(skipping)) >= 2
        await skip_to(skipping, partial + 26 * DAY)
        assert await publish(skipping, partial + 26 * DAY) is None
        await skip_to(skipping, partial + 26 * DAY + timedelta(seconds=60))
        assert await still_open(skipping) == []
    with ledger.read() as session:
        rounds = {run.init_time: run for run in runs.list_runs(session)}
        run = rounds[partial]
        closing = decide_close(planet.catalog.rules(planet.grid), run_record(session, run.run_id))
        facts = [(fact.hotkey, fact.lead_hours) for fact in facts_of(session, run.run_id) if fact.pass_ == "era5_final"]
        in_vector = list(session.scalars(select(WeightVectorRoundRow.run_id)))
    assert {cycle: (one.outcome, one.coverage) for cycle, one in rounds.items()} == {
        void: ("void", "3/5"),
        partial: ("closed_partial", "4/5"),
    }
    assert all(one.closed_at and one.closed_at <= one.close_by + SECOND for one in rounds.values())
    assert in_vector == [run.run_id]
    assert {key.lead_time_hours for key in closing.counted} == ALL_LEADS - TWO
    assert {key.lead_time_hours for key in closing.void} == TWO
    assert {hotkey: {lead for one, lead in facts if one == hotkey} for hotkey in planet.keys} == dict.fromkeys(
        planet.keys, ALL_LEADS - TWO
    )


async def test_an_epoch_closes_rounds_that_nobody_plays_any_more(
    skipping: WorkflowEnvironment, ledger: Ledger, tmp_path: Path
) -> None:
    """AT-R6: one is terminated after the seal, one was never opened, and one was left alone."""
    alone, terminated, never = FIRST, FIRST + DAY, FIRST + 2 * DAY
    planet = Planet(tmp_path, ledger, skipping.client, 2)
    async with played(planet):
        await open_round(skipping, alone)
        await open_round(skipping, terminated)
        await skip_to(skipping, terminated + timedelta(hours=12))
        await skipping.client.get_workflow_handle(names.run_id(terminated)).terminate()
        assert await publish(skipping, never + 17 * DAY) is None
    with ledger.read() as session:
        reasons = {run.init_time: (run.outcome, run.outcome_reason) for run in runs.list_runs(session)}
        record = run_record(session, names.run_id(terminated))
    assert reasons == {alone: ("closed", "complete"), terminated: ("void", "coverage"), never: ("void", "not_run")}
    assert set(decide_close(planet.catalog.rules(planet.grid), record).void.values()) == {"InternalError"}


async def test_a_backend_that_is_down_for_sixty_days_delays_neither_rounds_nor_weights(
    skipping: WorkflowEnvironment, ledger: Ledger, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """AT-X6."""
    backend = ReferenceBackend(tmp_path / "backend.db")
    backend.befall(*(Trouble(method=m, status=503, headers={"Retry-After": "86400"}) for m in ("PUT", "POST", "GET")))
    with served(backend.app) as url:
        planet = Planet(tmp_path, ledger, skipping.client, 2, backend=RoundBackend(url))
        async with played(planet):
            await open_round(skipping, FIRST)
            assert await publish(skipping, FIRST + 9 * DAY) is None
            assert await still_open(skipping) == [names.run_id(FIRST)]
            await skip_to(skipping, FIRST + 60 * DAY)
            assert await still_open(skipping) == []
    with ledger.read() as session:
        (run,) = runs.list_runs(session)
        states = set(session.scalars(select(OutboxRow.state)))
    assert (run.outcome, states) == ("closed", {"expired"})
    assert run.closed_at and run.closed_at - FIRST < timedelta(hours=36 + 126, minutes=1)
    assert [record.levelname for record in caplog.records if "expired" in record.message] == ["ERROR"]


async def left_alone(environment: WorkflowEnvironment, planet: Planet, run: WorkflowHandle) -> WorkflowHandle:
    return run


async def terminated(environment: WorkflowEnvironment, planet: Planet, run: WorkflowHandle) -> WorkflowHandle:
    await run.terminate()
    return await start(environment, ForecastRunInput(init_time=FIRST))


async def reseated(environment: WorkflowEnvironment, planet: Planet, run: WorkflowHandle) -> WorkflowHandle:
    """The first uid goes to a stranger, the others change hands, and an epoch sees it."""
    planet.seats = [key_of(99), *reversed(planet.seats[1:])]
    assert await publish(environment, FIRST + timedelta(hours=13)) == "NothingToPublish"
    return run


async def held(environment: WorkflowEnvironment, planet: Planet, run: WorkflowHandle) -> WorkflowHandle:
    """Over the instant at which the first final pass is due."""
    by = {"actor": "ada", "reason": "a look at it"}
    await run.execute_update("hold", by)
    await skip_to(environment, FIRST + timedelta(hours=24 + 126 + 12))
    with planet.ledger.read() as session:
        assert not [job for job in rows_of(session, ScoringJobRow, run.id) if job.score_type == "era5_final"]
    await run.execute_update("release", by)
    return run


async def ended(root: Path, disturb: Disturb) -> str:
    """The digest of a round that is disturbed after its seal, which asks each miner once."""
    upgrade(url := f"sqlite:///{root}/ledger.db")
    async with await skipping_server() as environment:
        with Ledger(url) as ledger:
            planet = Planet(root, ledger, environment.client, 4)
            async with played(planet):
                await skip_to(environment, FIRST + OPENS_AFTER_INIT)
                run = await start(environment, ForecastRunInput(init_time=FIRST))
                await skip_to(environment, FIRST + timedelta(hours=12))
                run = await disturb(environment, planet, run)
                assert (await run.result()).outcome == "closed"
            with ledger.read() as session:
                assert sorted(planet.asked) == sorted(planet.keys)
                return ledger_digest(session, run.id)


async def test_a_ledger_that_is_down_over_the_last_instant_closes_what_was_recorded_as_in_time(tmp_path: Path) -> None:
    """AT-R6."""
    (alone := tmp_path / "left_alone").mkdir()
    upgrade(url := f"sqlite:///{tmp_path}/ledger.db")
    async with await skipping_server() as environment:
        with Ledger(url) as ledger:
            planet = Planet(tmp_path, ledger, environment.client, 4, stuck=True)
            async with played(planet):
                await open_round(environment, FIRST)
                await skip_to(environment, FIRST + 26 * DAY)
                planet.stuck = False
                assert await publish(environment, FIRST + 27 * DAY) == "NothingToPublish"
            with ledger.read() as session:
                run = runs.get_run(session, names.run_id(FIRST))
                assert run and run.closed_at and run.closed_at > run.close_by
                assert ledger_digest(session, run.run_id) == await ended(alone, left_alone)


@pytest.mark.parametrize("disturb", [terminated, reseated, held])
async def test_facts_and_scores_are_those_of_a_round_that_was_left_alone(tmp_path: Path, disturb: Disturb) -> None:
    """AT-R7: a run that is terminated and started again asks nobody again. AT-I2: no fact knows a uid. AT-R9: held."""
    digests = []
    for name, act in (("left_alone", left_alone), ("disturbed", disturb)):
        (root := tmp_path / name).mkdir()
        digests.append(await ended(root, act))
    assert digests[0] == digests[1]
