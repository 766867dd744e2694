"""What decides a close is told in one way, whoever reads the facts."""

from __future__ import annotations

from protocol.run_record import Scored, run_record
from weather.cases import CaseKey
from weather.round_score import EVERY_CASE, FaultScope

CASE, OTHER = (CaseKey("era5_final", 24, name, 0, "global") for name in ("2t", "msl"))


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
