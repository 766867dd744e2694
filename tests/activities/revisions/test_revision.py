"""Revisions on a real ledger, object store and archive: new facts beside the old ones, and nothing old changed."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from activities import documents
from activities.messages.run import CloseRun
from activities.rescoring import RevisionPlan
from adapters.bundle import Archive, write_bundle
from adapters.chunk_decoder import ChunkDecoder, FetchedChunk
from adapters.ledger import facts
from adapters.ledger.tables.scores import LeadScoreRow, RoundScoreRow
from adapters.ledger.tables.weights import WeightVectorRow
from adapters.ledger.values import ScoreFact
from adapters.ledger.views import ledger_digest
from protocol.bundle import verify_round
from protocol.layout import Layout
from protocol.weights import BASELINE
from tests.activities.dossiers.judged_run import write_grid
from tests.activities.revisions.revised_run import LATER, LEAD, Revised, forget, opened_again, play
from tests.activities.validator.world import ALICE, BOB, CAROL, T0, VALIDATOR, do
from tests.activities.weights.scene import Scene
from weather.faults import DecodeFailed, InternalError, TruthNotYetAvailable
from weather.fields import Field

EVERYBODY = {ALICE.hotkey, BOB.hotkey, CAROL.hotkey, BASELINE}
FIELDS = 9


def identity(fact: ScoreFact) -> tuple[Any, ...]:
    return fact.hotkey, fact.lead_hours, fact.variable, fact.truth_version


async def test_exactly_the_cases_of_the_field_that_has_changed_are_rescored_and_the_rest_is_confirmed(
    revised: Revised,
) -> None:
    """AT-S33."""
    old = revised.facts()
    changed = await revised.revise(LEAD)
    new = [fact for fact in revised.facts() if fact not in old]
    assert {identity(fact) for fact in new} == {(hotkey, LEAD, "2t", "era5") for hotkey in EVERYBODY}
    assert (changed.rescored, changed.confirmed, changed.refused) == (4, FIELDS - 1, 0)
    assert {fact.revised_at for fact in new} == {LATER} and {fact.generation for fact in new} == {1}
    before = {fact.hotkey: fact for fact in old if identity(fact)[1:3] == (LEAD, "2t")}
    for fact in new:
        assert fact.forecast_digest == before[fact.hotkey].forecast_digest
        assert fact.truth_digest != before[fact.hotkey].truth_digest
    assert [fact for fact in revised.facts() if fact in old] == old
    report = revised.report(changed)
    assert report["rescored"] == [["2t", 0, 4]] and report["confirmed"] == FIELDS - 1 and report["refused"] == []
    assert [row[0] for row in report["lead_scores"]] == sorted({row[0] for row in report["lead_scores"]})
    hotkey, variable, level, first, second = report["largest_change"]
    assert (variable, level) == ("2t", 0) and first != second and hotkey in EVERYBODY


async def test_a_truth_that_is_the_same_is_written_down_and_no_byte_of_a_forecast_is_read(revised: Revised) -> None:
    old = revised.facts()
    assert revised.plan(await revised.truth(18)).plan is None
    same = await revised.revise(18)
    assert (same.rescored, same.confirmed, same.refused, revised.row(18).rescored) == (0, FIELDS, 0, 0)
    assert revised.facts() == old
    report = revised.report(same)
    assert (report["largest_change"], report["lead_scores"], report["ranks"]) == (None, [], [])


async def test_a_field_of_which_one_forecast_is_gone_is_revised_for_nobody_and_the_reason_is_told(
    revised: Revised,
) -> None:
    """AT-S35."""
    old = revised.facts()
    forget(revised, BOB.hotkey, "2t", LEAD)
    refused = await revised.revise(LEAD)
    assert (refused.rescored, refused.confirmed, refused.refused) == (0, FIELDS - 1, 1)
    assert revised.facts() == old
    reason = ["2t", 0, f"the bytes of {BOB.hotkey} are gone"]
    assert revised.row(LEAD).refused == [reason] == revised.report(refused)["refused"]


async def test_metadata_that_are_gone_are_bytes_that_are_gone(revised: Revised) -> None:
    forget(revised, BOB.hotkey, "2t", LEAD, metadata=True)
    assert (await revised.revise(LEAD)).refused == 1
    assert "are gone" in revised.row(LEAD).refused[0][2]


async def test_a_forecast_that_a_stricter_decoder_refuses_leaves_its_field_as_it_is_for_everybody(
    revised: Revised,
) -> None:
    class Stricter(ChunkDecoder):
        def decode_field(self, layout: Layout, chunk: FetchedChunk, valid_time: datetime) -> Field:
            raise DecodeFailed("no longer allowed")

    refused = await revised.revise(LEAD, Stricter)
    assert (refused.rescored, refused.confirmed, refused.refused) == (0, FIELDS - 1, 1)
    assert "DecodeFailed" in revised.row(LEAD).refused[0][2]


async def test_what_the_close_decided_stays_as_it_was(revised: Revised, tmp_path: Path) -> None:
    def said() -> tuple[str, bytes]:
        with revised.validator.ledger.read() as session:
            write_bundle(tmp_path / "bundle", archive_of(revised, session), revised.opened.run.run_id)
            return ledger_digest(session, revised.opened.run.run_id), (tmp_path / "bundle").read_bytes()

    before = said()
    await revised.revise(LEAD)
    assert said() == before
    verify_round(before[1], revised.opened.run.run_id, VALIDATOR.hotkey)


def archive_of(revised: Revised, session: Any) -> Archive:
    return Archive(session, revised.validator.store, revised.validator.catalog, VALIDATOR, LATER)


# long: one story of six epochs
def test_latest_after_a_revision_in_the_window_is_a_new_vector_and_old_rows_are_intact(
    revised: Revised, tmp_path: Path
) -> None:
    """AT-W10."""
    scene = Scene(revised.validator.ledger, tmp_path)
    scene.register(ALICE.hotkey, BOB.hotkey, CAROL.hotkey)
    latest = replace(scene.rules, truth_stage="latest")
    as_closed, first = scene.rules, scene.compute(scene.epoch(0))
    rows = values(scene)
    scene.rules = latest
    assert scene.compute(scene.epoch(1)).input_digest == first.input_digest
    after = (LATER - scene.epoch(0).as_of) // scene.rules.tempo + 1
    asyncio.run(revised.revise(18))
    assert scene.compute(scene.epoch(after)).input_digest == first.input_digest  # all was confirmed
    asyncio.run(revised.revise(LEAD))
    assert scene.compute(scene.epoch(2)).input_digest == first.input_digest  # that epoch began before
    second = scene.compute(scene.epoch(after))
    assert second.created and second.input_digest != first.input_digest
    assert scene.compute(scene.epoch(after + 1)) == second.model_copy(update={"created": False})
    assert values(scene)[: len(rows)] == rows and len(scene.vectors()) == 2
    scene.rules = as_closed
    assert scene.compute(scene.epoch(after + 2)).input_digest == first.input_digest
    with revised.validator.ledger.read() as session:
        assert session.scalars(select(RoundScoreRow)).all()
        bundle = write_bundle(tmp_path / "bundle", archive_of(revised, session), revised.opened.run.run_id)
    assert [vector.input_digest for vector in bundle.vectors] == [first.input_digest]
    verify_round((tmp_path / "bundle").read_bytes(), bundle.run_id, VALIDATOR.hotkey)


def values(scene: Scene) -> list[list[Any]]:
    columns = WeightVectorRow.__table__.columns.keys()
    return [[getattr(row, name) for name in columns] for row in scene.vectors()]


async def test_a_lead_is_named_until_it_is_revised_or_its_bytes_may_be_gone(revised: Revised) -> None:
    both = (T0 + timedelta(hours=18), T0 + timedelta(hours=24))
    assert revised.found() == both
    await revised.revise(18)
    assert revised.found() == both[1:] and revised.leads(18) == ()
    assert [(lead.run, lead.lead_hours) for lead in revised.leads(24)] == [(revised.opened.run, (24,))]
    assert revised.found(T0 + timedelta(days=161)) == ()


async def test_a_truth_is_waited_for_until_it_is_final(revised: Revised) -> None:
    early = T0 + timedelta(days=20)
    with pytest.raises(TruthNotYetAvailable, match="era5t") as not_yet:
        await revised.truth(LEAD, early)
    assert not_yet.value.retry_after == timedelta(hours=6)
    times = (T0 + timedelta(hours=18), LATER - timedelta(days=30))
    assert await revised.published(*times) == ()
    await revised.truth(LEAD)
    assert await revised.published(*times) == times[:1]


async def test_other_bytes_than_those_that_were_scored_are_ours(revised: Revised) -> None:
    truth = await revised.truth(LEAD)
    planned = revised.plan(truth).plan
    assert planned is not None
    plan = documents.get_model(revised.validator.store, RevisionPlan, planned.sha256)
    others = tuple(
        fact.model_copy(update={"forecast_digest": "0" * 64}) for fact in plan.facts if fact.hotkey in EVERYBODY
    )
    miners = tuple(fact for fact in others if fact.hotkey != BASELINE)
    spoiled = documents.put_model(revised.validator.store, plan.model_copy(update={"facts": miners}))
    with pytest.raises(InternalError, match="other bytes"):
        revised.rescore(truth, spoiled)


async def test_a_run_that_is_open_closes_on_the_newer_truth(revised: Revised, tmp_path: Path, archive: str) -> None:
    changed = {hotkey: after for hotkey, _, after in revised.report(await revised.revise(LEAD))["lead_scores"]}
    (folder := tmp_path / "open").mkdir()
    write_grid(folder / "grids")
    play(folder, close=False)
    with opened_again(folder, archive) as open_:
        await open_.revise(LEAD)
        with open_.validator.ledger.read() as session:
            known = facts.facts_of(session, open_.opened.run.run_id)
        assert sum(fact.truth_version == "era5" for fact in known) == 4
        assert open_.row(LEAD).scores == {}
        do(open_.validator.runs.close_run, CloseRun(run_id=open_.opened.run.run_id, at=LATER))
        with open_.validator.ledger.read() as session:
            rows = session.scalars(select(LeadScoreRow).filter_by(pass_="era5_final", lead_hours=LEAD)).all()
        assert changed and changed.items() <= {row.hotkey: row.score_nano for row in rows}.items()
