"""An operator's verbs on a run: scopes, refusals, what they do and whom it costs nothing."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weather.cases import CaseKey, case_set
from weather.faults import InterventionRefused
from weather.interventions import Act, Effect, RunState, Scope, blast_radius, effect
from weather.round_score import EVERY_CASE, FaultScope, RunRecord, decide_close, standings
from weather.score_spec import load_rules

SPEC = load_rules("5p625-small")
KEYS = [case.key for case in case_set(SPEC)]
A, B, C = "a" * 64, "b" * 64, "c" * 64
WHOLE = RunRecord((A, B), {(hotkey, key): 6 * 10**8 + (hotkey == B) for hotkey in (A, B) for key in KEYS})
EMPTY = replace(WHOLE, scores={})
HALF = replace(WHOLE, scores={pair: s for pair, s in WHOLE.scores.items() if pair[1].lead_time_hours <= 120})
SETTLED = {CaseKey("day1_qc", 240, "gate", 0, "global"), CaseKey("era5_final", 240, "t", 850, "global")}
THIN = replace(HALF, scores={pair: s for pair, s in WHOLE.scores.items() if pair in HALF.scores or pair[1] in SETTLED})
DONE = dict.fromkeys((0, *range(24, 241, 24)), False)
IDLE = RunState(passes=DONE, miners={A: "verified", B: "failed", C: "absent"})
VERBS = ("hold", "release", "rerun", "skip", "accept", "void")


def act(verb: str, scope: str = "run", record: RunRecord = WHOLE, state: RunState = IDLE) -> Effect:
    return effect(SPEC, record, state, Act(verb, Scope.parse(scope), 2))  # ty: ignore[invalid-argument-type]


def lead(hours: int, pass_: str = "*") -> set[CaseKey]:
    return {key for key in KEYS if key.lead_time_hours == hours and pass_ in ("*", key.pass_)}


@pytest.mark.parametrize(
    ("text", "cases", "miner"),
    [
        ("run", EVERY_CASE, None),
        ("lead:24", CaseKey("*", 24, "*", -1, "*"), None),
        (
            "pass:era5_final,lead:24,variable:t,level:850,region:global",
            CaseKey("era5_final", 24, "t", 850, "global"),
            None,
        ),
        ("level:surface", CaseKey("*", -1, "*", 0, "*"), None),
        (f"lead:240,miner:{A}", CaseKey("*", 240, "*", -1, "*"), A),
    ],
)
def test_a_scope_is_read_and_written_in_one_spelling(text: str, cases: CaseKey, miner: str | None) -> None:
    assert Scope.parse(text) == Scope(cases, miner)
    assert str(Scope.parse(",".join(reversed(text.split(","))))) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "all",
        "lead:",
        "lead:x",
        "lead:-1",
        "lead:24,",
        "lead:24,lead:48",
        "pass:*",
        "level:*",
        "miner:alice",
        "run,lead:24",
    ],
)
def test_what_is_no_scope_is_refused(text: str) -> None:
    with pytest.raises(InterventionRefused, match="cannot be read"):
        Scope.parse(text)


@pytest.mark.parametrize("verb", VERBS)
def test_no_verb_reaches_a_closed_run(verb: str) -> None:
    with pytest.raises(InterventionRefused, match="closed"):
        act(verb, "lead:24", state=replace(IDLE, closed=True))


@pytest.mark.parametrize(
    ("verb", "scope", "record", "state", "why"),
    [
        ("hold", "run", WHOLE, replace(IDLE, held=True), "held already"),
        ("release", "run", WHOLE, IDLE, "not held"),
        *((verb, "lead:24", WHOLE, IDLE, "takes the whole run") for verb in ("hold", "void")),
        *((verb, f"miner:{A}", WHOLE, IDLE, "for all miners or for none") for verb in ("skip", "accept")),
        ("skip", "lead:23", WHOLE, IDLE, "no case that is open or counted"),
        ("skip", "lead:24", act("skip", "lead:24").record, IDLE, "no case that is open or counted"),
        ("accept", "run", WHOLE, IDLE, "no case that is open"),
        ("accept", "run", HALF, IDLE, "too little would be covered"),
        ("rerun", "run", WHOLE, IDLE, "takes passes, leads or one miner"),
        ("rerun", "lead:24,variable:t", WHOLE, IDLE, "takes passes, leads or one miner"),
        ("rerun", "lead:23", WHOLE, IDLE, "no pass in the scope was started"),
        ("rerun", "pass:day1_qc,lead:24", WHOLE, IDLE, "no pass in the scope was started"),
        ("rerun", "lead:24", WHOLE, replace(IDLE, passes={24: True}), "still runs"),
        ("rerun", f"miner:{A}", WHOLE, replace(IDLE, passes={24: True}), "still runs"),
        ("rerun", "lead:24", WHOLE, replace(IDLE, overdue=True), "close_by is past"),
        ("rerun", f"miner:{'d' * 64}", WHOLE, IDLE, "not on the roster"),
        ("rerun", f"miner:{C}", WHOLE, IDLE, "nothing in time"),
        ("rerun", f"miner:{A}", WHOLE, replace(IDLE, miners={A: "working"}), "still runs"),
        ("rerun", f"miner:{A}", WHOLE, replace(IDLE, miners={A: "spent"}), "once more already"),
    ],
)
def test_a_verb_that_does_not_apply_is_refused(
    verb: str, scope: str, record: RunRecord, state: RunState, why: str
) -> None:
    with pytest.raises(InterventionRefused, match=why):
        act(verb, scope, record, state)


@pytest.mark.parametrize(
    ("verb", "scope", "record", "void", "scopes", "leads"),
    [
        ("hold", "run", WHOLE, set(), 0, ()),
        ("void", "run", WHOLE, set(KEYS), 1, ()),
        ("skip", "lead:24", WHOLE, lead(24), 1, ()),
        ("skip", "lead:144", HALF, lead(144), 1, (144,)),
        ("skip", "lead:24,pass:day1_qc", WHOLE, lead(24, "day1_qc"), 1, ()),
        ("skip", "pass:day1_qc", EMPTY, {key for key in KEYS if key.pass_ == "day1_qc"}, 1, (0,)),
        ("skip", "lead:144,variable:t", EMPTY, {key for key in lead(144) if key.variable == "t"}, 1, ()),
        ("accept", "lead:240", HALF, lead(240), 2, (240,)),
        ("accept", "lead:240", THIN, lead(240) - SETTLED, 18, (240,)),
        ("accept", "pass:era5_final,lead:216", HALF, lead(216, "era5_final"), 1, (216,)),
    ],
)
def test_what_a_verb_voids_and_what_nobody_waits_for_any_more(
    verb: str, scope: str, record: RunRecord, void: set[CaseKey], scopes: int, leads: tuple[int, ...]
) -> None:
    done = act(verb, scope, record)
    assert (len(done.void), done.leads) == (scopes, leads)
    states = standings(case_set(SPEC), done.record)
    assert {key for key, case in states.items() if case.code == "VoidedByOperator"} == void


@pytest.mark.parametrize(
    ("scope", "leads", "verify", "superseded", "touched"),
    [
        ("lead:24", (24,), False, 2 * 19, 2),
        ("pass:day1_qc", (0,), False, 2 * 10, 2),
        (f"miner:{A},lead:48", (48,), False, 19, 1),
        (f"miner:{B}", tuple(DONE), True, len(KEYS), 1),
    ],
)
def test_a_rerun_names_passes_and_changes_nothing_by_itself(
    scope: str, leads: tuple[int, ...], verify: bool, superseded: int, touched: int
) -> None:
    done = act("rerun", scope)
    radius = blast_radius(SPEC, WHOLE, done)
    assert (done.leads, done.verify, done.record) == (leads, verify, WHOLE)
    assert (radius.facts_superseded, radius.miners_touched, radius.cases_voided) == (superseded, touched, 0)
    assert (radius.coverage_before, radius.coverage_after, radius.ranks_moved) == ("1/1", "1/1", ())


def test_a_failed_miner_is_verified_once_more_though_passes_without_it_still_run() -> None:
    done = act("rerun", f"miner:{B}", state=replace(IDLE, passes={24: True}))
    assert (done.leads, done.hotkey, done.verify) == ((24,), B, True)


def test_a_review_that_failed_may_be_accepted_with_nothing_open() -> None:
    assert act("accept", state=replace(IDLE, in_review=True)).void == ()


def test_the_blast_radius_tells_coverage_outcome_and_ranks_moved() -> None:
    better = {(A, key): 7 * 10**8 for key in lead(24)}
    record = replace(WHOLE, scores={**WHOLE.scores, **better})
    radius = blast_radius(SPEC, record, act("skip", "lead:24", record))
    assert (radius.facts_superseded, radius.cases_voided, radius.miners_touched) == (40, 20, 2)
    assert (radius.coverage_before, radius.coverage_after, radius.outcome_after) == ("1/1", "9/10", "closed_partial")
    assert radius.ranks_moved == ((A, 1, 2), (B, 2, 1))
    gone = blast_radius(SPEC, WHOLE, act("void"))
    assert (gone.outcome_after, gone.coverage_after, gone.ranks_moved) == ("void", "0/1", ((B, 1, None), (A, 2, None)))


def test_a_lead_that_becomes_too_thin_counts_as_voided() -> None:
    first = act("skip", "lead:24,variable:z")
    assert blast_radius(SPEC, WHOLE, first).cases_voided == 3
    second = act("skip", "lead:24,variable:q", first.record)
    assert blast_radius(SPEC, first.record, second).cases_voided == 17


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from(KEYS), min_size=1, max_size=40, unique=True), st.integers(0, 9 * 10**8))
def test_what_is_skipped_costs_nobody_and_leaves_the_order_of_the_rest(gone: list[CaseKey], low: int) -> None:
    """AT-F5: as if the cases had never been; so a fault of a miner in them costs it nothing either."""
    scores = {(hotkey, key): low + (hotkey == B) * (i % 3) * 10**7 for i, key in enumerate(KEYS) for hotkey in (A, B)}
    record = RunRecord((A, B), scores, (FaultScope(B, gone[0], "W", "ObjectAbsent"),))
    for key in gone:
        parts = zip(("pass", "lead", "variable", "level", "region"), key, strict=True)
        scope = ",".join(f"{name}:{value}" for name, value in parts)
        record = act("skip", scope, record).record
    never = {pair: score for pair, score in scores.items() if pair[1] not in gone}
    lost = tuple(FaultScope("*", key, "V", "SourceGone") for key in gone)
    skipped, removed = decide_close(SPEC, record), decide_close(SPEC, RunRecord((A, B), never, lost))
    assert skipped.round_scores == removed.round_scores and skipped.coverage == removed.coverage
    if skipped.round_scores:
        assert skipped.round_scores[B] >= skipped.round_scores[A]
