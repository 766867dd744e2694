"""Who is a member of the ensemble, what it weighs, and that the mean is worth more than its members."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from statistics import fmean, median

import numpy as np
import pytest

from tests.unit.weather.toy import SMALL_GLOBE, toy_field
from weather.ensemble import Candidate, Member, mean_field, past_error, weigh_members, weights
from weather.final_score import case_score
from weather.planet.planet import Planet
from weather.score_spec import load_rules
from weather.sums import FieldSums, field_sums

SURFACE = {0: 1900}


def candidate(name: str, error: float = 0.5, runs: Iterable[int] = range(20), leaf: int = 0) -> Candidate:
    past = {f"r{run:02d}": {0: (error, 1.0)} for run in runs}
    return Candidate(name, leaf, frozenset({f"{name}-field"}), past)


def copy_of(one: Candidate, name: str, leaf: int, past: dict | None = None) -> Candidate:
    return Candidate(name, leaf, one.digests, one.past if past is None else past)


THREE = [candidate("a", 0.25, leaf=1), candidate("b", 0.5, leaf=2), candidate("c", 1.0, leaf=3)]


def test_the_golden_weights() -> None:
    expected = [0.452380952381, 0.309523809524, 0.238095238095]
    assert weights([0.25, 0.5, 1.0], 20) == pytest.approx(expected, abs=1e-12)
    assert [(one.hotkey, one.error) for one in weigh_members(THREE, SURFACE)] == [("a", 0.25), ("b", 0.5), ("c", 1.0)]
    assert [one.weight for one in weigh_members(THREE, SURFACE)] == pytest.approx(expected, abs=1e-12)


def test_no_error_is_trusted_below_a_hundredth_and_no_short_past_far() -> None:
    assert weights([0.0, 0.01], 100) == [0.5, 0.5]
    spread = [max(weights([0.1, 1.0], runs)) for runs in (10, 30)]
    assert 0.5 < spread[0] < spread[1] < 10 / 11


def test_the_past_error_merges_sums_over_runs_before_levels_are_averaged() -> None:
    runs = [{500: (1.0, 4.0), 850: (1.0, 1.0)}, {500: (3.0, 4.0), 850: (0.0, 3.0)}]
    assert past_error(runs, {500: 3, 850: 1}) == (3 * (4 / 8) + 1 * (1 / 4)) / 4


def test_ten_exact_copies_change_no_weight_whatever_their_own_past() -> None:
    short = {run: errors for run, errors in THREE[0].past.items() if run < "r10"}
    copies = [copy_of(THREE[0], f"0{n}", 10 + n, short if n % 2 else None) for n in range(10)]
    assert weigh_members([*copies, *THREE], SURFACE) == weigh_members(THREE, SURFACE)


def test_of_copies_the_earliest_commitment_counts() -> None:
    members = weigh_members([copy_of(THREE[0], "d", 0), *THREE], SURFACE)
    assert [one.hotkey for one in members] == ["b", "c", "d"]


@pytest.mark.parametrize(
    ("others", "members"),
    [
        ([], []),
        ([candidate("b", runs=range(9))], []),
        ([candidate("b", runs=range(10, 30))], ["a", "b"]),
        ([candidate("b", runs=range(11, 31))], []),
        ([candidate("b", runs=range(10)), candidate("c", runs=range(8, 19))], ["a", "c"]),
    ],
)
def test_members_have_ten_runs_in_common(others: list[Candidate], members: list[str]) -> None:
    given = [candidate("a"), *others]
    assert [one.hotkey for one in weigh_members(given, SURFACE)] == members


def test_the_best_twenty_are_members() -> None:
    many = [candidate(f"{n:02d}", error=1 - n / 50) for n in range(25)]
    chosen = weigh_members(many, SURFACE)
    assert [one.hotkey for one in chosen] == [f"{n:02d}" for n in range(5, 25)]
    assert sum(one.weight for one in chosen) == pytest.approx(1, abs=1e-15)


def test_the_mean_is_summed_in_float64_and_rounded_once() -> None:
    fields = [toy_field(np.full((3, 4), step)) for step in (0.1, 0.2, 0.3)]
    exact = sum(w * field.values.astype(np.float64) for w, field in zip((0.5, 0.3, 0.2), fields, strict=True))
    mean = mean_field(zip((0.5, 0.3, 0.2), fields, strict=True))
    assert (mean.values == np.float32(exact)).all() and mean.valid_time == fields[0].valid_time
    with pytest.raises(ValueError, match="members"):
        mean_field([])


PLANET, RULES = Planet(11), load_rules("5p625-small").era5_final
FIELDS, LEADS = (("2t", 0), ("u", 850), ("z", 500)), (48, 168)
MINERS = {"a": 1.4, "b": 1.2, "c": 1.0, "d": 0.8, "e": 0.6}


def a_run(number: int, history: dict[tuple, list[dict[int, tuple[float, float]]]]) -> tuple[float, list[float]]:
    """Scores of the ensemble, weighted by what came before, and of its members; the run joins the history."""
    init_time = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=number)
    own: dict[str, list[float]] = {name: [] for name in (*MINERS, "ensemble")}
    for lead in LEADS:
        at = init_time + timedelta(hours=lead)
        o, c = PLANET.era5(at), PLANET.climatology(at)
        forecasts = {name: PLANET.miner_forecast(name, skill, init_time, lead) for name, skill in MINERS.items()}
        for variable, level in FIELDS:
            place = (variable, level, SMALL_GLOBE)
            fields = {name: weather.field(*place) for name, weather in forecasts.items()}
            past = {name: history.setdefault((name, lead, variable), []) for name in MINERS}
            if members := members_of(past, level):
                fields["ensemble"] = mean_field((one.weight, fields[one.hotkey]) for one in members)
            for name, field in fields.items():
                sums = field_sums(field, o.field(*place), c.field(*place))
                own[name].append(case_score(RULES, sums))
                remember(past.get(name), level, sums)
    return fmean(own.pop("ensemble") or [0.0]), [fmean(scores) for scores in own.values()]


def members_of(past: dict[str, list[dict[int, tuple[float, float]]]], level: int) -> list[Member]:
    given = []
    for leaf, (name, runs) in enumerate(past.items()):
        numbered = {f"{n:03d}": errors for n, errors in enumerate(runs)}
        given.append(Candidate(name, leaf, frozenset({name}), dict(list(numbered.items())[-30:])))
    return weigh_members(given, {level: 1})


def remember(past: list[dict[int, tuple[float, float]]] | None, level: int, sums: FieldSums) -> None:
    if past is not None:
        past.append({level: (sums.D2, sums.Q2)})


def test_on_the_planet_the_ensemble_beats_the_median_miner() -> None:
    history: dict[tuple, list[dict[int, tuple[float, float]]]] = {}
    runs = [a_run(number, history) for number in range(70)][10:]
    won = sum(ensemble > median(miners) for ensemble, miners in runs)
    assert won >= 54
    assert fmean(e for e, _ in runs) > fmean(median(m) for _, m in runs)
