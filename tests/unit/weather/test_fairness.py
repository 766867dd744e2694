"""Whose fault a missing score is never changes what others are worth (rounds-and-weights §4, F1 to F5)."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weather.cases import CaseKey, case_set
from weather.round_score import EVERY_CASE, FaultScope, RunRecord, decide_close
from weather.score_spec import load_rules
from weather.second_chances import TABLE
from weather.weights.policies import ParetoSubsets, Proportional, WinnerTakesAll, shares
from weather.weights.window import RoundState, Standing, Window

PLANS = settings(max_examples=2_000, deadline=None)
MINERS = ("a", "b", "c")
BASELINE = "baseline/climatology"
OURS = ("StoreUnavailable", "WorkerLost", "SourceGone", "TruthNotYetAvailable", "EgressDown")
THEIRS = ("ObjectAbsent", "DecodeFailed", "TransferSlow")


def tiny():
    """Two groups of two leads with four fields each."""
    rules = load_rules("5p625-small")
    final = rules.era5_final
    first, second = (
        group.model_copy(update={"lead_time_hours": leads})
        for group, leads in zip(final.groups[:2], ((24, 48), (120, 144)), strict=True)
    )
    changed = final.model_copy(update={"groups": (first, second), "fields": final.fields[:4]})
    return rules.model_copy(update={"era5_final": changed})


SPEC = tiny()
KEYS = tuple(case.key for case in case_set(SPEC))
SCOPES = st.one_of(
    st.sampled_from(KEYS),
    st.sampled_from((24, 48, 120, 144)).map(lambda lead: CaseKey("era5_final", lead, "*", -1, "*")),
)
SCORES = st.lists(st.integers(0, 8), min_size=7, max_size=7)
PLAN = st.lists(st.tuples(st.sampled_from((*MINERS, "*")), SCOPES, st.sampled_from(OURS)), max_size=5)


def undisturbed(cycle):
    hotkeys = (*MINERS, BASELINE)
    scores = {(h, key): 10**8 * cycle[(i + 3 * j) % 7] for i, key in enumerate(KEYS) for j, h in enumerate(hotkeys)}
    return RunRecord(MINERS, scores, entrants=(BASELINE,))


def disturbed(record, plan):
    """What the plan hit has no score."""
    faults = tuple(FaultScope(hotkey, scope, "V", code) for hotkey, scope, code in plan)
    lost = {(h, k) for h, k in record.scores for f in faults if f.hotkey in (h, "*") and f.covers(k)}
    return replace(record, scores={pair: s for pair, s in record.scores.items() if pair not in lost}, faults=faults)


@PLANS
@given(SCORES, PLAN)
def test_faults_past_their_budgets_remove_the_same_cases_for_everybody(cycle, plan):
    """AT-F1, F2 and F3: the scores are those of the undisturbed run with the void cases taken out for all."""
    record = undisturbed(cycle)
    closing = decide_close(SPEC, disturbed(record, plan))
    removed = tuple(FaultScope("*", key, "V", "VoidedByOperator") for key in closing.void)
    assert closing.round_scores == decide_close(SPEC, replace(record, faults=removed)).round_scores
    assert closing.group_scores == decide_close(SPEC, replace(record, faults=removed)).group_scores


@PLANS
@given(SCORES, PLAN)
def test_whoever_our_fault_hits_the_close_is_the_same(cycle, plan):
    """AT-F1, F3: neither a rank nor a score depends on which miner a platform or source fault met."""
    record = undisturbed(cycle)
    everybody = [("*", scope, code) for _, scope, code in plan]
    hit, all_hit = decide_close(SPEC, disturbed(record, plan)), decide_close(SPEC, disturbed(record, everybody))
    assert (hit.round_scores, hit.outcome, hit.counted) == (all_hit.round_scores, all_hit.outcome, all_hit.counted)


@PLANS
@given(SCORES, PLAN, st.randoms(use_true_random=False))
def test_a_retry_that_succeeds_leaves_no_trace_in_the_scores(cycle, plan, random):
    """AT-F1, F1: faults that end within their budgets."""
    record = undisturbed(cycle)
    helped = replace(disturbed(record, plan), scores=record.scores)
    order = list(helped.faults)
    random.shuffle(order)
    again = decide_close(SPEC, replace(helped, faults=tuple(order)))
    before = decide_close(SPEC, record)
    assert (again.round_scores, again.coverage, again.outcome) == (before.round_scores, 1, "closed")


@PLANS
@given(SCORES, st.lists(st.tuples(st.sampled_from(MINERS), SCOPES, st.sampled_from(THEIRS)), min_size=1, max_size=4))
def test_a_miners_fault_is_its_own_and_never_pays(cycle, plan):
    """F4 and F5."""
    record = undisturbed(cycle)
    faulty = replace(record, faults=tuple(FaultScope(h, scope, "W", code) for h, scope, code in plan))
    before, after = decide_close(SPEC, record).round_scores, decide_close(SPEC, faulty).round_scores
    guilty = {hotkey for hotkey, _, _ in plan}
    assert all(after[h] <= before[h] if h in guilty else after[h] == before[h] for h in before)


WORST = sorted({code for row in TABLE if row.effect == "W" for code in row.codes})
EIGHT = tuple("abcdefgh")
A_LEAD, A_CASE = CaseKey("era5_final", 48, "*", -1, "*"), next(key for key in KEYS if key.pass_ == "era5_final")


@pytest.mark.parametrize("code", WORST)
@pytest.mark.parametrize("scope", [EVERY_CASE, A_LEAD, A_CASE])
def test_each_code_of_one_miner_of_eight_is_worst_in_its_scope_and_touches_no_other(code, scope):
    """AT-F2."""
    hotkeys = (*EIGHT, BASELINE)
    scores = {
        (h, key): 10**7 * (50 + (7 * i + 3 * j) % 41) for i, h in enumerate(hotkeys) for j, key in enumerate(KEYS)
    }
    record = RunRecord(EIGHT, scores, entrants=(BASELINE,))
    hit = FaultScope("c", scope, "W", code)
    before = decide_close(SPEC, record)
    lost = {(h, key): s for (h, key), s in scores.items() if not (h == "c" and hit.covers(key))}
    for left in (lost, scores):
        after = decide_close(SPEC, replace(record, scores=left, faults=(hit,)))
        assert (after.outcome, after.counted, after.void) == ("closed", KEYS, {})
        for name in ("round_scores", "group_scores", "lead_scores"):
            mine, theirs = getattr(after, name), getattr(before, name)
            others = [one for one in theirs if (one if name == "round_scores" else one[0]) != "c"]
            assert {one: mine[one] for one in others} == {one: theirs[one] for one in others}
        assert after.round_scores["c"] < before.round_scores["c"]
        assert (after.round_scores["c"] == 0) == (scope == EVERY_CASE)


def weights(closings, policy):
    """The shares of three miners over rounds that closed one after the other."""
    groups = {group.name: group.weight for group in SPEC.era5_final.groups}
    rounds = [
        RoundState(
            serial=serial,
            run_id=str(serial),
            outcome=closing.outcome,
            coverage=closing.coverage,
            closed_at=serial,
            group_weights=groups,
            scores={
                h: {name: closing.group_scores[h, name] for name in groups if (h, name) in closing.group_scores}
                for h in closing.round_scores
            },
            totals=closing.round_scores,
        )
        for serial, closing in enumerate(closings)
        if closing.outcome != "void"
    ]
    standings = [Standing(hotkey, 0, 0 if rounds else None, None) for hotkey in MINERS]
    return shares(policy, Window(tuple(rounds), BASELINE), standings)


@PLANS
@given(SCORES, st.lists(PLAN, min_size=3, max_size=3), st.sampled_from((ParetoSubsets, WinnerTakesAll, Proportional)))
def test_our_faults_change_no_weight_by_whom_they_hit(cycle, plans, policy):
    """Three rounds, one policy: the vector is that of rounds in which the same faults hit everybody."""
    record = undisturbed(cycle)
    hit = [decide_close(SPEC, disturbed(record, plan)) for plan in plans]
    all_hit = [decide_close(SPEC, disturbed(record, [("*", s, c) for _, s, c in plan])) for plan in plans]
    assert weights(hit, policy()) == weights(all_hit, policy())


def test_a_void_or_a_skip_costs_nobody_and_keeps_the_order_of_the_rest():
    """AT-F5."""
    record = undisturbed([1, 2, 3, 4, 5, 6, 7])
    void = replace(record, faults=(FaultScope("*", EVERY_CASE, "V", "VoidedByOperator"),))
    assert decide_close(SPEC, void).round_scores == {}
    for lead in (24, 144):
        skipped = replace(record, faults=(FaultScope("*", CaseKey("*", lead, "*", -1, "*"), "V", "VoidedByOperator"),))
        kept = {pair: s for pair, s in record.scores.items() if pair[1].lead_time_hours != lead}
        assert decide_close(SPEC, skipped).round_scores == decide_close(SPEC, replace(record, scores=kept)).round_scores
