from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.deadline import DeadlineRules, in_time, retain_until
from tests.unit.protocol.world import T0

MICROSECOND = timedelta(microseconds=1)
SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
LEADS = (6, 12, 18, 24)
LIVE = DeadlineRules()
HINDCAST = DeadlineRules(hindcast=True, wait=timedelta(seconds=20))


def test_the_deadline_itself_is_in_time_and_a_microsecond_later_is_not() -> None:
    assert in_time(T0, T0)
    assert not in_time(T0 + MICROSECOND, T0)


def test_the_first_scored_lead_leaves_the_window_and_the_guard() -> None:
    last = T0 + 6 * HOUR - 15 * MINUTE - SECOND
    assert LIVE.first_scored_lead(T0, last, LEADS) == 6
    assert LIVE.first_scored_lead(T0, last + MICROSECOND, LEADS) == 12
    assert LIVE.first_scored_lead(T0, last + 18 * HOUR, LEADS) == 24
    assert LIVE.first_scored_lead(T0, last + 18 * HOUR + MICROSECOND, LEADS) is None


def test_the_deadline_is_an_hour_after_the_call_or_the_guard_before_the_first_lead() -> None:
    latest = T0 + 6 * HOUR - SECOND
    assert LIVE.deadline(T0, T0 + 4 * HOUR, 6) == T0 + 5 * HOUR
    assert LIVE.deadline(T0, T0 + 5 * HOUR - SECOND, 6) == latest
    assert LIVE.deadline(T0, T0 + 5 * HOUR + 40 * MINUTE, 6) == latest
    assert DeadlineRules(guard=HOUR).deadline(T0, T0 + 5 * HOUR - 30 * MINUTE, 6) == T0 + 5 * HOUR


@given(st.integers(0, 24 * 60), st.integers(1, 600), st.integers(0, 60), st.integers(0, 120))
def test_every_scored_lead_is_valid_after_the_deadline(asked: int, guard: int, window: int, wait: int) -> None:
    rules = DeadlineRules(
        wait=timedelta(minutes=wait), guard=timedelta(seconds=guard), min_window=timedelta(minutes=window)
    )
    requested_at = T0 + timedelta(minutes=asked)
    first = rules.first_scored_lead(T0, requested_at, LEADS)
    if first is not None:
        deadline = rules.deadline(T0, requested_at, first)
        assert deadline < T0 + timedelta(hours=first)
        assert deadline >= requested_at + min(rules.wait, rules.min_window)


def test_a_moved_deadline_never_passes_the_guard() -> None:
    first, latest = T0 + 5 * HOUR + 45 * MINUTE, T0 + 6 * HOUR - SECOND
    assert LIVE.moved(first, T0, 6, 0) == first + 10 * MINUTE
    assert LIVE.moved(first + 10 * MINUTE, T0, 6, 1) == latest
    assert LIVE.moved(latest, T0, 6, 2) is None


def test_a_hindcast_has_all_leads_and_moves_at_most_six_times() -> None:
    asked = T0 + timedelta(days=20)
    assert HINDCAST.first_scored_lead(T0, asked, LEADS) == 6
    assert HINDCAST.deadline(T0, asked, 6) == asked + 20 * SECOND
    assert HINDCAST.moved(asked, T0, 6, 5) == asked + 10 * MINUTE
    assert HINDCAST.moved(asked, T0, 6, 6) is None
    assert HINDCAST.first_scored_lead(T0, asked, ()) is None


def test_rules_that_miners_could_not_read_are_refused() -> None:
    for guard, wait in ((SECOND - MICROSECOND, HOUR), (SECOND, MICROSECOND), (1.5 * SECOND, HOUR)):
        with pytest.raises(ValueError, match="whole seconds"):
            DeadlineRules(guard=guard, wait=wait)


def test_miners_keep_their_stores_three_days_past_the_last_truth() -> None:
    delay = timedelta(days=5, hours=6)
    last = T0 + 240 * HOUR
    assert retain_until(last, delay, T0) == last + delay + 72 * HOUR
    assert retain_until(last, delay, last + 20 * delay) == last + 20 * delay + 72 * HOUR
