"""Our own forecasts through the scorer, and the canaries that it must pass first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from activities import documents
from activities.documents import Part
from activities.messages.base import PassName
from activities.messages.scoring import ScoreEntrants, TruthReady
from adapters.chunk_decoder import ChunkDecoder
from adapters.ledger.values import ScoreFact
from adapters.object_store import ObjectStore
from tests.activities.validator.forecasts import LAYOUT, PLANET, RULES, RUN, Desk, copied_gfs, fields_of
from tests.activities.validator.world import GRID, T0, do
from weather.faults import InternalError
from weather.field_sets import field_set_document
from weather.fields import Field

LEAD = 48
ALL = LAYOUT.fields()


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    store = ObjectStore(tmp_path_factory.mktemp("objects"))
    with ChunkDecoder(store) as decoder:
        yield Desk(store, decoder)


@pytest.fixture(scope="module")
def inputs(desk: Desk) -> str:
    """Analyses of T0 and of six hours before, as `fetch_inputs` keeps them."""
    analyses = [PLANET.gfs_analysis(T0 - timedelta(hours=6)), PLANET.gfs_analysis(T0)]
    fields = [field for analysis in analyses for field in fields_of(analysis, ALL)]
    for field in fields:
        desk.store.put_field(field)
    return desk.store.put(field_set_document("inputs", "gfs_analysis", GRID, fields))


def entrants(desk: Desk, pass_name: PassName, truth: TruthReady, inputs: str | None) -> dict[str, list[ScoreFact]]:
    request = ScoreEntrants(run=RUN, pass_name=pass_name, generation=1, truth=truth, inputs=inputs)
    part = documents.get_model(desk.store, Part, do(desk.scorer.score_entrants, request).part.sha256)
    assert part.faults == ()
    found: dict[str, list[ScoreFact]] = {}
    for fact in part.facts:
        found.setdefault(fact.hotkey.removeprefix("baseline/"), []).append(fact)
    return found


def test_climatology_scores_a_fifth_and_persistence_is_the_analysis_under_another_time(desk: Desk, inputs: str) -> None:
    found = entrants(desk, "era5_final", desk.final_truth(LEAD, RULES.final_fields), inputs)
    assert {name: len(of) for name, of in found.items()} == dict.fromkeys(("climatology", "persistence"), 19)
    assert all(abs((fact.score or 0) - 0.2) <= 1e-15 for fact in found["climatology"])
    assert {fact.forecast_digest for fact in found["climatology"]} == {
        fact.climatology_digest for fact in found["climatology"]
    }
    analysis = fields_of(PLANET.gfs_analysis(T0), RULES.final_fields)
    assert [fact.forecast_digest for fact in found["persistence"]] == [field.digest for field in analysis]
    assert {fact.valid_time for fact in found["persistence"]} == {RUN.valid_time(LEAD)}
    assert len({fact.score for fact in found["persistence"]}) == 19


def test_gfs_is_entered_where_it_was_fetched_and_persistence_where_inputs_are(desk: Desk) -> None:
    (one,) = desk.final_truth(LEAD, RULES.final_fields).sets
    gfs = desk.kept("forecast", copied_gfs(LEAD), RULES.final_fields)
    found = entrants(desk, "era5_final", TruthReady(sets=(one.model_copy(update={"gfs": gfs}),)), None)
    assert list(found) == ["climatology", "gfs"]
    assert [fact.reference_digests for fact in found["gfs"]] == [{}] * 19


def test_on_day_1_nothing_of_ours_is_a_clone_or_a_fault(desk: Desk, inputs: str) -> None:
    found = entrants(desk, "day1_qc", desk.day1_truth(), inputs)
    gates = {
        name: [(fact.lead_hours, fact.score) for fact in of if fact.variable == "gate"] for name, of in found.items()
    }
    leads = RULES.final_leads
    assert gates == {
        "climatology": [(lead, 0.0) for lead in leads],
        "persistence": [(lead, 1.0) for lead in leads],
        "gfs": [(lead, 1.0) for lead in leads],
    }
    assert {fact.checks["penalty"] for fact in found["gfs"] if fact.variable != "gate"} == {0.0}


def spoiled(desk: Desk, variable: str, change: Any) -> TruthReady:
    """A truth whose fields of one variable are not what they seem, with digests that hold."""
    (one,) = desk.final_truth(LEAD, RULES.final_fields).sets
    fields = fields_of(PLANET.era5t(RUN.valid_time(LEAD)), RULES.final_fields)
    planted = [change(field) if field.variable == variable else field for field in fields]
    for field in planted:
        desk.store.put_field(field)
    document = documents.put(desk.store, field_set_document("truth", "era5t", GRID, planted))
    return TruthReady(sets=(one.model_copy(update={"truth": document}),))


def with_values(field: Field, values: np.ndarray) -> Field:
    return Field.of(field.grid, field.variable, field.level, field.valid_time, values)


@pytest.mark.parametrize(
    ("variable", "change"),
    [
        ("msl", lambda field: with_values(field, field.values.mean(axis=1, keepdims=True) + 0 * field.values)),
        ("z", lambda field: with_values(field, field.values / 9.80665)),
        ("t", lambda field: with_values(field, -field.values)),
        ("2t", lambda field: replace(field, valid_time=field.valid_time + timedelta(hours=6))),
    ],
)
def test_a_planted_fault_of_axis_unit_sign_or_time_is_ours_and_leaves_no_part(
    desk: Desk, variable: str, change: Any
) -> None:
    with pytest.raises(InternalError, match="canary"):
        entrants(desk, "era5_final", spoiled(desk, variable, change), None)
