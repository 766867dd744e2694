"""The case set of a spec."""

from collections import Counter

from weather.cases import CaseKey, case_set, case_set_digest
from weather.score_spec import load_rules

SPEC = load_rules("5p625")
CASES = case_set(SPEC)


def test_a_run_has_700_cases_of_weight_180000_and_each_lead_18000():
    weights = Counter()
    for case in CASES:
        weights[case.key.lead_time_hours] += case.weight
    assert len(CASES) == len({case.key for case in CASES}) == 700
    assert weights == {24 * day: 18_000 for day in range(1, 11)}
    assert sum(weights.values()) == 180_000


def test_the_gate_is_a_case_of_every_final_lead():
    gates = [case for case in CASES if case.key.variable == "gate"]
    assert [case.key for case in gates] == [CaseKey("day1_qc", 24 * d, "gate", 0, "global") for d in range(1, 11)]
    assert sum(case.weight for case in gates) == 0.05 * 180_000


def test_groups_follow_from_leads():
    assert {case.group for case in CASES if case.key.lead_time_hours in (96, 168)} == {"days-4-7"}


def test_each_region_of_the_spec_has_the_fields_and_the_gate_is_global():
    spec = SPEC.model_copy(update={"regions": ("global", "europe")})
    assert len(case_set(spec)) == 2 * 690 + 10


def test_the_digest_names_every_case_and_weight():
    assert case_set_digest(CASES) == case_set_digest(case_set(load_rules("0p25")))
    assert case_set_digest(CASES[:-1]) != case_set_digest(CASES) != case_set_digest(case_set(load_rules("5p625-small")))
