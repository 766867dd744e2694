"""Closing a run: golden variants, coverage and fairness."""

from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weather.cases import CaseKey, case_set
from weather.round_score import EVERY_CASE, FaultScope, RunRecord, decide_close, lead_scores, ranking, standings
from weather.score_spec import load_rules

SPEC = load_rules("5p625")
SMALL = load_rules("5p625-small")
CASES = case_set(SPEC)
F1, F2, GATE = 832_801_951, 645_405_061, 10**9
ABSENT = FaultScope("a", CaseKey("era5_final", 240, "*", -1, "*"), "W", "ObjectAbsent")
T850 = CaseKey("era5_final", 24, "t", 850, "global")
GATES = CaseKey("day1_qc", -1, "gate", 0, "*")


def score_of(key: CaseKey) -> int:
    if key.variable == "gate":
        return GATE
    return F1 if key.level == 0 or key.level >= 500 else F2


def record(*faults: FaultScope, lacking: tuple[CaseKey, ...] = (), roster: tuple[str, ...] = ("a",)) -> RunRecord:
    """Facts of §9 for every miner of the roster; the scopes that are lacking have none."""
    holes = [FaultScope("*", scope, "V", "") for scope in (ABSENT.scope, *lacking)]
    present = [case.key for case in CASES if not any(hole.covers(case.key) for hole in holes)]
    return RunRecord(roster, {(hotkey, key): score_of(key) for hotkey in roster for key in present}, (ABSENT, *faults))


def uniform(*hotkeys: str, score: int = 8 * 10**8, spec=SPEC) -> RunRecord:
    return RunRecord(hotkeys, {(hotkey, case.key): score for hotkey in hotkeys for case in case_set(spec)})


def without(whole: RunRecord, *scopes: CaseKey) -> RunRecord:
    holes = [FaultScope("*", scope, "V", "") for scope in scopes]
    kept = {pair: s for pair, s in whole.scores.items() if not any(hole.covers(pair[1]) for hole in holes)}
    return replace(whole, scores=kept)


MISSING_T850 = record(FaultScope("a", T850, "W", "ObjectAbsent"), lacking=(T850,))
VOID_T850 = record(FaultScope("*", T850, "V", "SourceCorrupt"), lacking=(T850,))
FAILED_GATE = record(FaultScope("a", GATES, "W", "QualityControlFailed"))
VOID_GATE = record(FaultScope("*", GATES, "V", "TruthNotYetAvailable"), lacking=(GATES,))


@pytest.mark.parametrize(
    ("known", "lead_24", "groups", "total"),
    [
        (record(), 799518100, (799518100, 799518100, 549678733), 724566290),
        (MISSING_T850, None, (796048092, 799518100, 549678733), 723525288),
        (VOID_T850, None, (799378837, 799518100, 549678733), 724524511),
        (FAILED_GATE, 749518100, (749518100, 749518100, 499678733), 674566290),
        (VOID_GATE, 788966421, (788966421, 788966421, 525977614), 710069779),
    ],
    ids=["as given", "t850 missing", "t850 void", "gate failed", "gate void"],
)
def test_golden_variants_of_the_final_score(known, lead_24, groups, total):
    closing = decide_close(SPEC, known)
    assert tuple(closing.group_scores["a", group.name] for group in SPEC.era5_final.groups) == groups
    assert closing.round_scores == {"a": total}
    assert lead_24 is None or closing.lead_scores["a", 24] == lead_24


def test_golden_variant_of_climatology_with_a_failed_gate():
    known = uniform("a", score=2 * 10**8)
    closing = decide_close(SPEC, replace(known, faults=(FaultScope("a", GATES, "W", "QualityControlFailed"),)))
    assert set(closing.group_scores.values()) == {190_000_000}
    assert closing.round_scores == {"a": 190_000_000}


def test_lead_24_without_the_gate_of_the_golden_variants():
    for known, expected in ((record(), 788966421), (MISSING_T850, 778008501), (VOID_T850, 788381947)):
        counted = decide_close(SPEC, known).counted
        fields = [case for case in CASES if case.key in counted and case.key.variable != "gate"]
        assert lead_scores(fields, known)["a", 24] == expected


def test_the_gate_weighs_a_twentieth_to_the_nano():
    final, gate = 600_000_000, 0
    known = uniform("a", score=final)
    scores = {pair: gate if pair[1].variable == "gate" else score for pair, score in known.scores.items()}
    assert decide_close(SPEC, replace(known, scores=scores)).round_scores == {"a": 570_000_000}


def test_groups_weigh_as_the_spec_says():
    first, second = (
        group.model_copy(update={"weight": weight})
        for group, weight in zip(SPEC.era5_final.groups[:2], (5, 95), strict=True)
    )
    spec = SPEC.model_copy(update={"era5_final": SPEC.era5_final.model_copy(update={"groups": (first, second)})})
    scores = {("a", case.key): (4 if case.group == first.name else 8) * 10**8 for case in case_set(spec)}
    assert decide_close(spec, RunRecord(("a",), scores)).round_scores == {"a": 780_000_000}


def test_of_two_equal_cases_one_missing_halves_and_one_void_changes_nothing():
    first, second = CASES[0], CASES[1]
    whole = uniform("a")
    missing = replace(whole, faults=(FaultScope("a", second.key, "W", "ObjectAbsent"),))
    assert lead_scores([first, second], missing) == {("a", 24): 400_000_000}
    assert lead_scores([first], missing) == {("a", 24): 800_000_000}


@pytest.mark.parametrize(
    ("leads", "coverage", "outcome", "reason"),
    [
        ([], 1, "closed", "complete"),
        ([240], Fraction(9, 10), "closed_partial", "partial"),
        ([192, 216, 240], Fraction(7, 10), "closed_partial", "partial"),
        ([168, 192, 216, 240], Fraction(6, 10), "void", "coverage"),
    ],
)
def test_coverage_decides_the_outcome(leads, coverage, outcome, reason):
    """AT-R4: whole, partial, and the least that is partial."""
    voids = [FaultScope("*", CaseKey("*", lead, "*", -1, "*"), "V", "TruthNotYetAvailable") for lead in leads]
    known = replace(without(uniform("a", "b"), *(void.scope for void in voids)), faults=tuple(voids))
    closing = decide_close(SPEC, known)
    assert (closing.coverage, closing.outcome, closing.reason) == (coverage, outcome, reason)
    assert set(closing.void.values()) <= {"TruthNotYetAvailable"}
    assert closing.round_scores == ({} if outcome == "void" else {"a": 800_000_000, "b": 800_000_000})


@pytest.mark.parametrize(("share", "outcome"), [(99, "closed_partial"), (70, "closed_partial"), (69, "void")])
def test_seventy_percent_is_enough_and_sixty_nine_are_not(share, outcome):
    """AT-R4."""
    first, second, third = SPEC.era5_final.groups
    groups = (first.model_copy(update={"weight": share}), second.model_copy(update={"weight": 100 - share}))
    spec = SPEC.model_copy(update={"era5_final": SPEC.era5_final.model_copy(update={"groups": groups})})
    lost = [CaseKey("*", lead, "*", -1, "*") for lead in second.lead_time_hours]
    closing = decide_close(spec, without(uniform("a", spec=spec), *lost))
    assert (closing.coverage, closing.outcome) == (Fraction(share, 100), outcome)
    assert third.name not in {name for _, name in closing.group_scores}


@pytest.mark.parametrize(("percent", "lead_is_void"), [(80, False), (79, True)])
def test_a_lead_of_eighty_percent_is_enough_and_one_of_seventy_nine_is_not(percent, lead_is_void):
    """AT-R4."""
    final, weights = SPEC.era5_final, {"2t": percent - 1, "msl": 100 - percent}
    fields = tuple(
        field.model_copy(update={"weights": (weights[field.variable],)})
        for field in final.fields
        if field.variable in weights
    )
    spec = SPEC.model_copy(update={"era5_final": final.model_copy(update={"fields": fields, "gate_weight": 1})})
    closing = decide_close(spec, without(uniform("a", spec=spec), CaseKey("era5_final", 24, "msl", -1, "*")))
    assert (("a", 24) not in closing.lead_scores) is lead_is_void


@pytest.mark.parametrize(("lost", "lead_is_void"), [("q", False), ("qt", True)])
def test_a_lead_below_eight_tenths_is_void_as_a_whole(lost, lead_is_void):
    voids = [FaultScope("*", CaseKey("era5_final", 24, name, -1, "*"), "V", "SourceCorrupt") for name in lost]
    known = replace(without(uniform("a"), *(void.scope for void in voids)), faults=tuple(voids))
    closing = decide_close(SPEC, known)
    assert (("a", 24) not in closing.lead_scores) is lead_is_void
    assert closing.void.get(CaseKey("day1_qc", 24, "gate", 0, "global")) == ("SourceCorrupt" if lead_is_void else None)


@pytest.mark.parametrize(("leads", "group_is_void"), [([24], False), ([24, 48], True)])
def test_a_group_below_half_is_void_and_the_others_carry_the_run(leads, group_is_void):
    scores = {("a", case.key): (2 if case.group == "days-1-3" else 6) * 10**8 for case in CASES}
    known = without(RunRecord(("a",), scores), *(CaseKey("*", lead, "*", -1, "*") for lead in leads))
    closing = decide_close(SPEC, known)
    assert (("a", "days-1-3") not in closing.group_scores) is group_is_void
    assert closing.round_scores == {"a": 600_000_000 if group_is_void else 480_000_000}


def test_a_case_is_open_until_all_are_settled_and_void_for_all_at_the_close():
    whole = uniform("a", "b")
    known = replace(whole, scores={pair: score for pair, score in whole.scores.items() if pair != ("b", T850)})
    assert standings(CASES, known)[T850].state == "open"
    closing = decide_close(SPEC, known)
    assert closing.void == {T850: "InternalError"}
    assert closing.round_scores["a"] == closing.round_scores["b"]


def test_a_retry_that_succeeds_settles_a_case_that_our_fault_had_voided():
    fault = FaultScope("b", T850, "V", "StoreUnavailable")
    known = replace(uniform("a", "b"), faults=(fault,))
    assert standings(CASES, known)[T850].state == "counted"
    known = replace(known, scores={pair: score for pair, score in known.scores.items() if pair != ("b", T850)})
    assert standings(CASES, known)[T850].code == "StoreUnavailable"


def test_what_an_operator_voids_stays_void_whatever_was_scored():
    known = replace(uniform("a"), faults=(FaultScope("*", T850, "V", "VoidedByOperator"),))
    assert decide_close(SPEC, known).void == {T850: "VoidedByOperator"}
    whole = replace(uniform("a"), faults=(FaultScope("*", EVERY_CASE, "V", "VoidedByOperator"),))
    assert decide_close(SPEC, whole).reason == "operator"


@pytest.mark.parametrize(
    ("code", "reason"), [("IngressDown", "ingress"), ("RunLate", "no_lead"), ("SourceGone", "coverage")]
)
def test_a_run_that_is_void_in_all_cases_says_why(code, reason):
    known = RunRecord(("a",), {}, (FaultScope("*", EVERY_CASE, "V", code),))
    closing = decide_close(SPEC, known)
    assert (closing.outcome, closing.reason, closing.coverage) == ("void", reason, 0)


def test_an_empty_roster_voids_the_run():
    closing = decide_close(SPEC, RunRecord((), {}))
    assert (closing.outcome, closing.reason) == ("void", "empty_roster")


def test_without_any_forecast_all_are_worst_unless_one_cause_was_ours():
    absent = [FaultScope(hotkey, EVERY_CASE, "W", "NoCommitment") for hotkey in "ab"]
    closing = decide_close(SPEC, RunRecord(("a", "b"), {}, tuple(absent)))
    assert (closing.outcome, closing.round_scores) == ("closed", {"a": 0, "b": 0})
    ours = FaultScope("b", EVERY_CASE, "V", "EgressDown")
    assert decide_close(SPEC, RunRecord(("a", "b"), {}, (absent[0], ours))).outcome == "void"


def test_a_worst_record_overrides_a_score():
    known = replace(uniform("a", "b"), faults=(FaultScope("a", EVERY_CASE, "W", "BaselineClone"),))
    assert decide_close(SPEC, known).round_scores == {"a": 0, "b": 800_000_000}


KEYS = [case.key for case in case_set(SMALL)]
DAMAGE = st.lists(st.sampled_from(KEYS), max_size=12)
SCORE = st.integers(0, 10**9)


@given(DAMAGE, st.lists(SCORE, min_size=4, max_size=4))
def test_dropping_cases_never_raises_a_score_of_the_dropper_nor_changes_another(dropped, cycle):
    scores = {(hotkey, key): cycle[k % 4] for k, key in enumerate(KEYS) for hotkey in "ab"}
    before = decide_close(SMALL, RunRecord(("a", "b"), scores))
    faults = tuple(FaultScope("a", key, "W", "ObjectAbsent") for key in dropped)
    after = decide_close(SMALL, RunRecord(("a", "b"), scores, faults))
    assert after.round_scores["a"] <= before.round_scores["a"]
    assert after.round_scores["b"] == before.round_scores["b"]
    assert all(after.lead_scores[place] <= score for place, score in before.lead_scores.items())


@given(DAMAGE, st.sampled_from(["a", "b"]), st.integers(1, 9))
def test_our_fault_costs_nobody_whoever_it_hit(lost, hit, step):
    scores = {(hotkey, key): 10**8 * (step + (hotkey == "b")) for key in KEYS for hotkey in "ab"}
    for key in lost:
        scores.pop((hit, key), None)
    faults = tuple(FaultScope(hit, key, "V", "StoreUnavailable") for key in lost)
    closing = decide_close(SMALL, RunRecord(("a", "b"), scores, faults))
    assert set(closing.void) >= set(lost)
    assert closing.round_scores == {"a": 10**8 * step, "b": 10**8 * (step + 1)}


def test_ranks_are_shared_by_equal_scores():
    assert ranking({"c": 5, "a": 5, "b": 9, "d": 1}) == [(1, "b", 9), (2, "a", 5), (2, "c", 5), (4, "d", 1)]


def test_an_entrant_is_ranked_if_settled_in_each_counted_case_and_delays_none():
    entrants = ("baseline/climatology", "baseline/gfs")
    known = uniform("a", *entrants)
    gone = {
        (hotkey, key): score for (hotkey, key), score in known.scores.items() if (hotkey, key) != (entrants[1], T850)
    }
    closing = decide_close(SPEC, RunRecord(("a",), gone, entrants=entrants))
    assert (closing.outcome, set(closing.round_scores)) == ("closed", {"a", entrants[0]})
    worst = replace(known, roster=("a",), entrants=entrants, faults=(FaultScope(entrants[0], GATES, "W", "Q"),))
    assert decide_close(SPEC, worst).round_scores[entrants[0]] == 760_000_000


def test_a_rerun_lifts_what_it_scored_from_an_older_fault_and_from_an_operators_void():
    lost = FaultScope("a", EVERY_CASE, "W", "ManifestMalformed")
    known = replace(uniform("a", "b"), faults=(lost,))
    assert decide_close(SPEC, known).round_scores["a"] == 0
    again = replace(known, generations={pair: 2 for pair in known.scores if pair[0] == "a"})
    assert decide_close(SPEC, again).round_scores["a"] == 800_000_000
    copied = replace(again, faults=(FaultScope("a", EVERY_CASE, "W", "ExactClone"),))
    assert decide_close(SPEC, copied).round_scores["a"] == 0
    skipped = replace(uniform("a"), faults=(FaultScope("*", T850, "V", "VoidedByOperator"),))
    assert T850 in decide_close(SPEC, skipped).void
    assert T850 in decide_close(SPEC, replace(skipped, generations={("a", T850): 2})).counted
