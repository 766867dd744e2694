"""Verified bytes of the synthetic planet become facts and faults: final cases, day-1 gate, resumed chunks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from temporalio.testing import ActivityEnvironment

from activities.documents import Part
from activities.messages.base import Ref
from activities.messages.scoring import ChunkMiner, TruthReady
from adapters.chunk_decoder import ChunkDecoder
from adapters.forecast_reader import FetchedObjects
from adapters.object_store import ObjectStore
from protocol.facts import fact_document
from tests.activities.validator.forecasts import (
    DAY1_LEADS,
    FINAL_FIELDS,
    LAYOUT,
    PLANET,
    RULES,
    RUN,
    SCORED_AT,
    Desk,
    climatology,
    copied_gfs,
    fields_of,
    lacking,
    skilful,
)
from tests.activities.validator.world import ALICE, BOB, CAROL, T0
from weather.day1_gate import Place, gather_evidence, judge_component
from weather.fields import short_name
from weather.final_score import case_score
from weather.sums import field_sums

ALL_LEADS = tuple(range(24, 241, 24))
LEAD = 48


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    store = ObjectStore(tmp_path_factory.mktemp("objects"))
    with ChunkDecoder(store) as decoder:
        yield Desk(store, decoder)


@pytest.fixture(scope="module")
def day1(desk: Desk) -> TruthReady:
    return desk.day1_truth()


def final(desk: Desk, objects: FetchedObjects) -> Part:
    return desk.part(desk.request("era5_final", desk.final_truth(LEAD), {ALICE.hotkey: objects}))


def gate(desk: Desk, day1: TruthReady, objects: FetchedObjects) -> Part:
    return desk.part(desk.request("day1_qc", day1, {ALICE.hotkey: objects}))


def honest(desk: Desk, **changes: Any) -> FetchedObjects:
    return desk.objects(skilful("trade-wind"), DAY1_LEADS, RULES.day1_fields, **changes)


def scopes(part: Part) -> list[tuple[str, str, str, int, str, int]]:
    return [(f.code, f.effect, f.pass_, f.lead_hours, f.variable, f.level) for f in part.faults]


def gate_leads(part: Part) -> list[int]:
    gates = [fact for fact in part.facts if fact.variable == "gate"]
    assert {(fact.pass_, fact.level, fact.score) for fact in gates} <= {("day1_qc", 0, 1.0)}
    return [fact.lead_hours for fact in gates]


def test_final_facts_are_the_numbers_of_the_rules_on_the_same_fields(desk: Desk) -> None:
    part = final(desk, desk.objects(skilful("trade-wind"), [LEAD], FINAL_FIELDS))
    valid_time = RUN.valid_time(LEAD)
    weathers = [skilful("trade-wind")(LEAD), PLANET.era5t(valid_time), PLANET.climatology(valid_time)]
    cases = zip(*(fields_of(weather, FINAL_FIELDS) for weather in weathers), strict=True)
    assert part.faults == ()
    for fact, (forecast, truth, normal) in zip(part.facts, cases, strict=True):
        sums = field_sums(forecast, truth, normal)
        assert (fact.variable, fact.level, fact.sums) == (forecast.variable, forecast.level, sums.as_dict())
        assert fact.score is not None and fact.score == case_score(RULES.era5_final, sums)
        digests = (fact.forecast_digest, fact.truth_digest, fact.climatology_digest)
        assert digests == (forecast.digest, truth.digest, normal.digest)
        assert (fact.pass_, fact.lead_hours, fact.region, fact.truth_version) == ("era5_final", LEAD, "global", "era5t")
        assert (fact.valid_time, fact.kind, fact.scored_at) == (valid_time, "live", SCORED_AT)
        assert fact.score > 0.5


def test_climatology_scores_a_fifth_in_every_case(desk: Desk) -> None:
    part = final(desk, desk.objects(climatology, [LEAD], FINAL_FIELDS))
    assert [fact.score for fact in part.facts] == pytest.approx([0.2] * len(FINAL_FIELDS), abs=1e-15)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_one_cell_that_is_not_finite_costs_its_case_and_no_other(desk: Desk, bad: float) -> None:
    def hole(values: np.ndarray) -> np.ndarray:
        return np.where(values == values.max(), bad, values)

    part = final(desk, desk.objects(skilful("trade-wind"), [LEAD], FINAL_FIELDS, {(LEAD, "t850"): hole}))
    assert scopes(part) == [("IncompleteForecast", "W", "era5_final", LEAD, "t", 850)]
    assert part.faults[0].hotkey == ALICE.hotkey
    assert part.faults[0].found == "2047 finite cells"
    assert [(fact.variable, fact.level) for fact in part.facts] == [("2t", 0), ("msl", 0), ("z", 500)]


def test_bytes_that_do_not_decode_cost_their_case(desk: Desk) -> None:
    whole = desk.objects(skilful("trade-wind"), [LEAD], FINAL_FIELDS)
    broken = whole.chunks[0].model_copy(update={"sha256": desk.store.put(b"not a frame")})
    part = final(desk, FetchedObjects(chunks=(broken, *whole.chunks[1:]), faults=()))
    assert [scope[1:] for scope in scopes(part)] == [("W", "era5_final", LEAD, "2t", 0)]
    assert part.faults[0].code in ("DecodedSizeRefused", "DecodeFailed")
    assert len(part.facts) == 3


def test_what_could_not_be_had_carries_the_code_of_its_transfer(desk: Desk) -> None:
    whole = desk.objects(skilful("trade-wind"), [LEAD], FINAL_FIELDS)
    absent = lacking("ObjectAbsent", LEAD, "z", 500)
    part = final(desk, FetchedObjects(chunks=whole.chunks[:3], faults=(absent,)))
    assert scopes(part) == [("ObjectAbsent", "W", "era5_final", LEAD, "z", 500)]
    assert (part.faults[0].found, part.faults[0].cause, part.faults[0].region) == ("404", "miner", "global")


def test_an_honest_forecast_passes_the_gate_at_every_final_lead(desk: Desk, day1: TruthReady) -> None:
    part = gate(desk, day1, honest(desk))
    assert part.faults == ()
    assert gate_leads(part) == list(ALL_LEADS)
    components = [fact for fact in part.facts if fact.variable != "gate"]
    assert [(f.lead_hours, f.variable, f.level) for f in components] == [
        (lead, *field) for lead in DAY1_LEADS for field in RULES.day1_fields
    ]
    assert all(fact.score is None and set(fact.reference_digests) == {"gfs", "gfs-previous"} for fact in components)


def test_a_component_keeps_the_sums_checks_and_terms_of_the_rules(desk: Desk, day1: TruthReady) -> None:
    fact = gate(desk, day1, honest(desk)).facts[0]
    weathers = [
        skilful("trade-wind")(6),
        PLANET.gfs_analysis(RUN.valid_time(6)),
        PLANET.climatology(RUN.valid_time(6)),
        PLANET.gfs_forecast(T0, 6),
        PLANET.gfs_forecast(T0 - timedelta(hours=6), 12),
    ]
    forecast, truth, normal, *public = [fields_of(weather, [("2t", 0)])[0] for weather in weathers]
    evidence = gather_evidence(forecast, truth, normal, public)
    component = judge_component(RULES.day1_qc, Place(6, "2t", 0), evidence)
    assert fact.sums == {**evidence.sums.as_dict(), **evidence.references.as_dict()}
    terms = {"u": component.u, "a": component.a, "penalty": component.penalty}
    assert fact.checks == {"minimum": evidence.minimum, "maximum": evidence.maximum, **terms}
    assert fact.reference_digests == {"gfs": public[0].digest, "gfs-previous": public[1].digest}


def test_without_the_second_public_forecast_the_facts_say_so(desk: Desk) -> None:
    part = gate(desk, desk.day1_truth(references=1), honest(desk))
    assert gate_leads(part) == list(ALL_LEADS)
    assert {tuple(fact.reference_digests) for fact in part.facts if fact.variable != "gate"} == {("gfs",)}
    assert "G_12" not in part.facts[0].sums


def test_a_copy_of_gfs_costs_the_whole_run(desk: Desk, day1: TruthReady) -> None:
    part = gate(desk, day1, desk.objects(copied_gfs, DAY1_LEADS, RULES.day1_fields))
    assert scopes(part) == [("BaselineClone", "W", "*", -1, "*", -1)]
    assert (part.faults[0].cause, part.faults[0].hotkey) == ("policy", ALICE.hotkey)
    assert gate_leads(part) == []


def test_a_mixture_of_the_public_forecasts_costs_the_whole_run(desk: Desk, day1: TruthReady) -> None:
    def mixed(lead: int, field: tuple[str, int]) -> np.ndarray:
        public = [PLANET.gfs_forecast(T0, lead), PLANET.gfs_forecast(T0 - timedelta(hours=6), lead + 6)]
        return np.mean([fields_of(weather, [field])[0].values for weather in public], axis=0)

    mixture = {
        (lead, short_name(*field)): lambda _, lead=lead, field=field: mixed(lead, field)
        for lead in DAY1_LEADS
        for field in RULES.day1_fields
    }
    part = gate(desk, day1, honest(desk, changes=mixture))
    assert scopes(part) == [("BaselineClone", "W", "*", -1, "*", -1)]


def test_a_copy_in_one_component_costs_the_gate_only(desk: Desk, day1: TruthReady) -> None:
    copy = fields_of(copied_gfs(6), [("msl", 0)])[0].values
    part = gate(desk, day1, honest(desk, changes={(6, "msl"): lambda _: copy}))
    assert scopes(part) == [("BaselineClone", "W", "day1_qc", -1, "gate", 0)]
    assert gate_leads(part) == []


def test_a_failed_check_costs_its_component_and_keeps_the_sums_as_evidence(desk: Desk, day1: TruthReady) -> None:
    part = gate(desk, day1, honest(desk, changes={(6, "2t"): lambda kelvin: kelvin - 273.15}))
    assert scopes(part) == [("QualityControlFailed", "W", "day1_qc", 6, "2t", 0)]
    fault, fact = part.faults[0], part.facts[0]
    assert (fault.detail, fault.expected) == ("check minimum", "170.0")
    assert float(fault.found or "") == fact.checks["minimum"]
    assert fact.sums["D"] == pytest.approx(-273.15, abs=1)
    assert gate_leads(part) == list(ALL_LEADS)


def test_climatology_fails_every_component_and_the_gate(desk: Desk, day1: TruthReady) -> None:
    part = gate(desk, day1, desk.objects(climatology, DAY1_LEADS, RULES.day1_fields))
    assert scopes(part)[-1] == ("QualityControlFailed", "W", "day1_qc", -1, "gate", 0)
    assert (part.faults[-1].found, part.faults[-1].expected) == ("0.0", "0.1")
    assert [fault.detail for fault in part.faults[:-1]] == ["check pattern_correlation"] * 10
    assert gate_leads(part) == []


def test_components_that_are_absent_or_holed_count_as_nothing_in_the_gate(desk: Desk, day1: TruthReady) -> None:
    whole = honest(desk, changes={(6, "10u"): lambda values: values * np.nan})
    absent = tuple(lacking("ObjectAbsent", 12, variable, level) for variable, level in RULES.day1_fields)
    part = gate(desk, day1, FetchedObjects(chunks=whole.chunks[:5], faults=absent))
    codes = [(fault.code, fault.lead_hours, fault.variable) for fault in part.faults]
    assert codes[:5] == [("ObjectAbsent", 12, variable) for variable, _ in RULES.day1_fields]
    assert codes[5:] == [("IncompleteForecast", 6, "10u")]
    assert len(gate_leads(part)) == 10
    assert next(fact for fact in part.facts if fact.variable == "gate").checks["q"] < 0.5


def test_a_miner_of_a_chunk_changes_nothing_for_its_neighbour(desk: Desk, day1: TruthReady) -> None:
    alone = gate(desk, day1, honest(desk))
    copy = desk.objects(copied_gfs, DAY1_LEADS, RULES.day1_fields)
    both = desk.part(desk.request("day1_qc", day1, {BOB.hotkey: copy, ALICE.hotkey: honest(desk)}))
    mine = [fact for fact in both.facts if fact.hotkey == ALICE.hotkey]
    assert [fact_document(fact) for fact in mine] == [fact_document(fact) for fact in alone.facts]
    assert {fault.hotkey for fault in both.faults} == {BOB.hotkey}


@pytest.mark.parametrize("died_after", [1, 2, 3])
def test_an_attempt_that_died_after_some_miners_goes_on_with_the_next_one(desk: Desk, died_after: int) -> None:
    objects = {key.hotkey: desk.objects(skilful(key.hotkey), [LEAD], FINAL_FIELDS) for key in (ALICE, BOB, CAROL)}
    request = desk.request("era5_final", desk.final_truth(LEAD), objects)
    undisturbed = ActivityEnvironment().run(desk.scorer.score_miners, request)
    beats: list[Any] = []

    def beat(*details: Any) -> None:
        beats.append(details)
        if len(details[0]["progress"] or []) == died_after:
            raise ConnectionAbortedError("the worker is gone")

    dying = ActivityEnvironment()
    dying.on_heartbeat = beat
    with pytest.raises(ConnectionAbortedError):
        dying.run(desk.scorer.score_miners, request)
    never_read = Ref(sha256="0" * 64, size_bytes=1)
    gone = tuple(ChunkMiner(hotkey=done.hotkey, objects=never_read) for done in request.miners[:died_after])
    resuming = ActivityEnvironment()
    resuming.info = replace(resuming.info, attempt=2, heartbeat_details=list(beats[-1]))
    rest = request.model_copy(update={"miners": (*gone, *request.miners[died_after:])})
    assert resuming.run(desk.scorer.score_miners, rest) == undisturbed


def test_the_layout_of_these_tests_holds_every_scored_field() -> None:
    assert set(FINAL_FIELDS) <= set(LAYOUT.fields()) & set(RULES.final_fields)
