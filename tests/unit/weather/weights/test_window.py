"""Windows, head and entry: goldens and laws."""

from dataclasses import replace
from datetime import UTC, datetime
from fractions import Fraction
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.weather.weights.rounds import BASELINE, paid, round_of
from weather.cases import case_set
from weather.faults import ConfigurationInvalid
from weather.round_score import RunRecord, decide_close
from weather.score_spec import load_rules
from weather.weights.policies import ParetoSubsets, Proportional, WinnerTakesAll
from weather.weights.window import (
    Window,
    counted_window,
    epoch_of,
    head,
    serial_of,
    window_of,
)

CADENCE, TEMPO = 21_600, 4_320
GENESIS = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp())
T0 = int(datetime(2026, 11, 22, 18, tzinfo=UTC).timestamp())
CLOSE_BY = 2_181_600


def test_x_lies_in_its_window_and_windows_tile() -> None:
    """AT-R1."""
    luck = Random(1)
    for _ in range(10_000):
        origin, beyond, length = luck.randint(-(10**12), 10**12), luck.randint(0, 10**12), luck.randint(1, 10**6)
        index, start, end = window_of(origin + beyond, origin, length)
        assert start <= origin + beyond < end == start + length
        assert (start - origin, index) == (index * length, beyond // length)
        assert window_of(end, origin, length) == (index + 1, end, end + length)


def test_the_goldens_of_windows() -> None:
    assert serial_of(T0, GENESIS, CADENCE) == 1_303
    assert epoch_of(T0, GENESIS, TEMPO) == (6_515, 1_795_370_400, 1_795_374_720)
    assert window_of(6_717_600, 0, 7_200) == (933, 6_717_600, 6_724_800)
    assert window_of(6_717_599, 0, 7_200).index == 932


@pytest.mark.parametrize(
    ("refused", "arguments"),
    [
        (window_of, (5, 0, 0)),
        (window_of, (-1, 0, 10)),
        (serial_of, (T0, GENESIS, 3_600)),
        (serial_of, (T0 + 1, GENESIS, CADENCE)),
        (serial_of, (GENESIS - CADENCE, GENESIS, CADENCE)),
        (epoch_of, (T0, GENESIS, 59)),
    ],
)
def test_what_is_no_window_is_refused(refused, arguments: tuple[int, ...]) -> None:
    with pytest.raises(ConfigurationInvalid):
        refused(*arguments)


def closed(serial: int, at: int | None = 0):
    made = round_of(serial, {"a": [0.5]}, [0.1])
    return replace(made, closed_at=at, outcome=None if at is None else "closed")


def test_the_head_has_no_open_round_before_it() -> None:
    rounds = [closed(serial, None if serial == 1_336 else 9) for serial in range(1_337, 1_302, -1)]
    assert head(rounds, 10) == 1_335
    assert head(rounds, 9) is None
    assert head([each for each in rounds if each.serial != 1_310], 10) == 1_309
    assert head([], 10) is None
    assert counted_window(rounds, None, 28, 700_000) == ()


def test_the_window_counts_rounds_and_not_days() -> None:
    rounds = [closed(serial) for serial in range(1_290, 1_338)]
    assert [each.serial for each in counted_window(rounds, 1_335, 28, 700_000)] == [*range(1_308, 1_336)]
    assert datetime(2026, 11, 24, tzinfo=UTC).timestamp() == GENESIS + 1_308 * CADENCE
    rounds[5:25:2] = [replace(each, outcome="void") for each in rounds[5:25:2]]
    window = counted_window(rounds, 1_335, 28, 700_000)
    assert (len(window), window[0].serial) == (28, 1_302)


@pytest.mark.parametrize(("ppm", "counts"), [(700_000, True), (700_001, False), (10**6, False)])
def test_a_partial_round_counts_from_its_coverage_on(ppm: int, counts: bool) -> None:
    partial = replace(closed(3), outcome="closed_partial", coverage=Fraction(7, 10))
    assert bool(counted_window([partial], 3, 28, ppm)) is counts


def test_absence_is_never_better_than_the_worst_presence() -> None:
    """AT-I6: off the roster in a hard round."""
    easy, hard = round_of(0, {"a": [0.8], "b": [0.7]}, [0.1]), round_of(1, {"a": [0.0], "b": [0.2]}, [0.1])
    absent = replace(hard, scores={**hard.scores, "a": {}}, totals={k: v for k, v in hard.totals.items() if k != "a"})
    for policy in (ParetoSubsets(), WinnerTakesAll(), Proportional()):
        kept, left = (paid(policy, Window([easy, each], BASELINE), "a", "b") for each in (hard, absent))
        assert left == kept


def round_of_ten_leads() -> dict[str, int]:
    """Totals of ten miners, each perfect in one of ten equal leads only."""
    spec, miners = load_rules("5p625"), {f"m{lead}": lead for lead in range(24, 241, 24)}
    keys = [case.key for case in case_set(spec)]
    scores = {(m, key): 10**9 * (lead == key.lead_time_hours) for m, lead in miners.items() for key in keys}
    return decide_close(spec, RunRecord(tuple(miners), scores)).round_scores


def test_each_lead_has_its_part_in_every_vector() -> None:
    """AT-W4: over 60 days and whatever closes early."""
    order, miners = Random(4), round_of_ten_leads()
    rounds = [
        replace(
            round_of(serial, {}, [0]),
            totals={BASELINE: 0} | {hotkey: score // (1 + serial) for hotkey, score in miners.items()},
            closed_at=serial * CADENCE + CLOSE_BY - order.choice((0, 0, 86_400, 259_200)),
        )
        for serial in range(240)
    ]
    vectors = 0
    for as_of in range(0, 60 * 86_400, 43_200):
        newest = head(rounds, as_of)
        counted = counted_window(rounds, newest, 28, 700_000)
        if newest is not None:
            vectors += 1
            assert [each.serial for each in counted] == [*range(newest + 1)][-28:]
            assert as_of >= newest * CADENCE + CLOSE_BY - 259_200
            assert paid(Proportional(power=1), Window(counted, BASELINE), *miners) == [10**8] * 10 + [0]
    assert vectors > 60


@settings(max_examples=100, deadline=None)
@given(st.permutations(range(40)), st.integers(0, 40))
def test_the_vector_depends_only_on_what_was_closed_before(order: list[int], as_of: int) -> None:
    """AT-W5: whatever the order of closing, and of what is still to close."""
    luck = Random(5)
    scores = [{"a": [luck.random()], "b": [luck.random()]} for _ in range(40)]
    rounds = [replace(round_of(serial, scores[serial], [0.3]), closed_at=order[serial]) for serial in range(40)]
    done = [
        each if order[each.serial] < as_of else replace(each, outcome=None, closed_at=None, totals={}, scores={})
        for each in rounds
    ]
    done = [replace(each, closed_at=None if each.closed_at is None else 0) for each in reversed(done)]
    one, other = (
        paid(
            ParetoSubsets(),
            Window(counted_window(each, head(each, as_of), 28, 700_000), BASELINE),
            "a",
            "b",
        )
        for each in (rounds, done)
    )
    assert one == other
