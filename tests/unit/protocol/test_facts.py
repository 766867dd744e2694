from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.facts import (
    FaultRecord,
    Scored,
    ScoreFact,
    fact_document,
    facts_digest,
    faults_digest,
    in_force,
    run_record,
)
from protocol.merkle import tree_hash
from weather.cases import CaseKey
from weather.round_score import EVERY_CASE, FaultScope

CASE, OTHER = (CaseKey("era5_final", 24, name, 0, "global") for name in ("2t", "msl"))
FACT = {
    "run_id": "forecast/2026-11-22T18Z",
    "hotkey": "8" * 64,
    "pass_": "era5_final",
    "lead_hours": 24,
    "variable": "2t",
    "spec_digest": "b" * 64,
    "truth_version": "era5t",
    "kind": "live",
    "valid_time": "2026-11-23T18:00:00Z",
    "forecast_digest": "1" * 64,
    "truth_digest": "2" * 64,
    "climatology_digest": "3" * 64,
    "sums": {"W": 1.0, "D": -2.0},
    "score": 0.5,
    "kernel_order": "four-rows/1",
    "package_version": "0.1.0",
    "scored_at": "2026-11-29T00:00:00Z",
}
FAULT = {
    "run_id": FACT["run_id"],
    "hotkey": "8" * 64,
    "code": "NoCommitment",
    "cause": "miner",
    "effect": "W",
    "recorded_at": "2026-11-23T00:00:00Z",
}


def fact(**changes: Any) -> ScoreFact:
    return ScoreFact.model_validate(FACT | changes)


def fault(**changes: Any) -> FaultRecord:
    return FaultRecord.model_validate(FAULT | changes)


def test_a_document_is_canonical_and_writes_floats_as_bits() -> None:
    document = fact_document(fact())
    assert json.loads(document) == {
        "run_id": "forecast/2026-11-22T18Z",
        "hotkey": "8" * 64,
        "pass": "era5_final",
        "lead_hours": 24,
        "variable": "2t",
        "level": "surface",
        "region": "global",
        "spec_digest": "b" * 64,
        "truth_version": "era5t",
        "generation": 1,
        "forecast_digest": "1" * 64,
        "truth_digest": "2" * 64,
        "climatology_digest": "3" * 64,
        "reference_digests": {},
        "score": "3fe0000000000000",
        "sums": {"W": "3ff0000000000000", "D": "c000000000000000"},
    }
    assert document.startswith(b'{"climatology_digest":"333')


@pytest.mark.parametrize("change", [{"scored_at": "2027-01-01T00:00:00Z"}, {"package_version": "9"}])
def test_when_and_by_what_it_was_scored_is_no_part_of_a_document(change: dict[str, str]) -> None:
    assert fact_document(fact(**change)) == fact_document(fact())


def test_a_zero_with_a_sign_is_another_sum() -> None:
    assert fact_document(fact(sums={"D": -0.0})) != fact_document(fact(sums={"D": 0.0}))


def test_the_highest_generation_counts_and_then_the_latest_truth() -> None:
    first, revised = fact(), fact(truth_version="era5")
    rerun, other = fact(generation=2), fact(lead_hours=48)
    assert in_force([revised, first]) == [revised]
    assert in_force([rerun, revised, other, first]) == [rerun, other]


def test_levels_are_ordered_as_numbers() -> None:
    facts = [fact(variable="z", level=level) for level in (1000, 50, 500)]
    assert [one.level for one in in_force(facts)] == [50, 500, 1000]


@given(st.randoms(use_true_random=False), st.integers(0, 20))
def test_the_digest_is_the_tree_over_the_documents_in_any_order(shuffled: random.Random, number: int) -> None:
    facts = [fact(lead_hours=lead) for lead in range(number)]
    root = tree_hash([fact_document(one) for one in facts])
    superseded = [fact(lead_hours=lead, score=0.1, generation=0) for lead in range(number)]
    written = facts + superseded
    shuffled.shuffle(written)
    assert facts_digest(written) == root.hex()


def test_the_digest_of_faults_depends_on_what_costs_points_only() -> None:
    here, there = fault(lead_hours=24), fault(lead_hours=48)
    noted = fault(lead_hours=24, found="1", expected="2", detail="x", attempts=[1], recorded_at="2027-01-01T00:00:00Z")
    assert faults_digest([here, there]) == faults_digest([there, noted])
    assert faults_digest([here]) != faults_digest([fault(lead_hours=24, code="MinerTimeout")])
    assert faults_digest([]) == facts_digest([])


def test_of_a_case_the_highest_generation_counts_then_the_latest_truth() -> None:
    versions = [(1, "era5", 0.1), (2, "era5", 0.4), (2, "era5t", 0.3), (1, "era5t", 0.2)]
    facts = [Scored("a", CASE, generation, truth, score) for generation, truth, score in versions]
    record = run_record(["a"], [*facts, Scored("a", OTHER, 1, "era5t", None)], [])
    assert record.scores == {("a", CASE): 400_000_000}
    assert record.generations[("a", CASE)] == 2


def test_who_declined_a_hindcast_is_not_in_the_roster_and_an_entrant_never_was() -> None:
    declined = FaultScope("b", EVERY_CASE, "W", "HindcastDeclined")
    facts = [Scored(who, CASE, 1, "era5t", 0.5) for who in ("a", "baseline/gfs", "baseline/climatology")]
    record = run_record(["a", "b"], facts, [declined])
    assert record.roster == ("a",)
    assert record.faults == [declined]
    assert record.entrants == ("baseline/climatology", "baseline/gfs")
