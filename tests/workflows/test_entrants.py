"""Canaries stop a pass before anything is recorded; an ensemble that fails is tried again and costs nobody anything."""

from __future__ import annotations

import pytest
from temporalio.testing import WorkflowEnvironment

from tests.workflows.fakes import fault
from tests.workflows.script import Script
from tests.workflows.test_forecast_run import MINERS, play
from weather.faults import Fault, InternalError, LedgerConflict, OutOfMemory, StoreUnavailable

MEMBERS = tuple(MINERS[:2])
FINAL = "era5_final"


def scored(script: Script) -> list[str]:
    return [request.pass_name for request in script.calls["score_miners"]]


async def test_a_canary_that_misses_ends_its_pass_and_records_nothing(
    skipping: WorkflowEnvironment, cache: int
) -> None:
    misses = [InternalError("canary of z500: truth flipped")] * 3
    script = Script(MINERS, leads=(24,), faults={("score_entrants", FINAL): misses})
    result = await play(skipping, script, cache)
    finished = {end.pass_name: fault(end.fault) for end in script.calls["finish_pass"]}
    assert finished == {"day1_qc": None, FINAL: "InternalError"}
    assert set(scored(script)) == {"day1_qc"} and not misses
    assert len(script.calls["record_scores"]) == 1 + len(scored(script))
    assert result.verified == 3


async def test_an_ensemble_is_tried_until_it_is_built_of_its_members_alone(
    skipping: WorkflowEnvironment, cache: int
) -> None:
    faults = {("build_ensemble", FINAL): [StoreUnavailable("full")] * 5}
    script = Script(MINERS, leads=(24,), members=MEMBERS, faults=faults)
    await play(skipping, script, cache)
    built = [request for request in script.calls["build_ensemble"] if request.pass_name == FINAL]
    assert len(built) == 6
    assert {tuple(sorted(one.hotkey for one in request.members)) for request in built} == {MEMBERS}
    assert [(one.pass_name, one.built is None, one.fault) for one in script.calls["record_ensemble"]] == [
        ("day1_qc", False, None),
        (FINAL, False, None),
    ]


@pytest.mark.parametrize(
    ("step", "lost", "recorded"),
    [
        ("weigh_members", LedgerConflict("two runs"), []),
        ("build_ensemble", OutOfMemory("20 members"), ["OutOfMemory"]),
        ("record_ensemble", LedgerConflict("other weights"), [None]),
    ],
)
async def test_a_lost_ensemble_costs_no_miner_anything(
    skipping: WorkflowEnvironment, cache: int, step: str, lost: Fault, recorded: list[str | None]
) -> None:
    script = Script(MINERS, leads=(24,), day1_leads=(), members=MEMBERS, faults={(step, FINAL): [lost]})
    result = await play(skipping, script, cache)
    assert [fault(end.fault) for end in script.calls["finish_pass"]] == [None]
    assert [fault(request.fault) for request in script.calls["record_ensemble"]] == recorded
    assert len(script.calls["record_scores"]) == 1 + len(scored(script)) == 3
    assert result.outcome == "closed"


async def test_fewer_than_two_miners_are_not_weighed(skipping: WorkflowEnvironment, cache: int) -> None:
    script = Script(MINERS[:1], leads=(24,), members=MEMBERS)
    await play(skipping, script, cache)
    assert not script.calls["weigh_members"] and len(script.calls["score_entrants"]) == 2
