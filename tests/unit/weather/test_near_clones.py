"""AT-S61: near copies are found over a season, and honest twins are not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache

import numpy as np
import pytest

from weather.clones import Alike, Likeness, NearCopy, near_copies
from weather.fields import Values
from weather.grids import Grid
from weather.likeness import run_likeness, similarities
from weather.planet.planet import Planet, Weather

POINTS = {"latitude_first": 84_375_000, "latitude_step": -11_250_000, "latitude_count": 16}
POINTS |= {"longitude_first": 0, "longitude_step": 11_250_000, "longitude_count": 32}
GRID, PLANET, T0 = Grid("coarse", **POINTS), Planet(3), datetime(2026, 10, 1, tzinfo=UTC)
FIELDS, LEADS = (("2t", 0), ("10u", 0), ("10v", 0), ("msl", 0), ("z", 500)), (6, 12)
Fields = dict[str, Values]


@cache
def weather(name: str, init_time: datetime, lead: int) -> Weather:
    valid_time = init_time + timedelta(hours=lead)
    known = {"truth": PLANET.state, "normal": PLANET.climatology}
    return known[name](valid_time) if name in known else PLANET.miner_forecast(name, 1.0, init_time, lead)


class Run:
    """One run of the planet; each method adds forecasts to all of its components."""

    def __init__(self, number: int) -> None:
        self.at = T0 + timedelta(days=number)
        self.components: dict[tuple[int, str, int], Fields] = {(lead, *field): {} for lead in LEADS for field in FIELDS}
        self._noise = np.random.default_rng(number)

    def planet(self, name: str, place: tuple[int, str, int]) -> Values:
        lead, variable, level = place
        return weather(name, self.at, lead).field(variable, level, GRID).values

    def honest(self, count: int) -> None:
        for place, fields in self.components.items():
            fields |= {f"m{number:03}": self.planet(f"m{number}", place) for number in range(count)}

    def twins(self, count: int) -> None:
        """Each keeps a share of the public forecast and damps its anomaly, both of its own choice."""
        rng = np.random.default_rng(0)
        shares, dampings = rng.uniform(0.3, 0.95, count), rng.uniform(0.9, 1.0, count)
        for place, fields in self.components.items():
            gfs, normal = self.planet("gfs", place), self.planet("normal", place)
            for number in range(count):
                mixed = shares[number] * gfs + (1 - shares[number]) * self.planet(f"m{number}", place)
                fields[f"m{number:03}"] = (normal + dampings[number] * (mixed - normal)).astype(np.float32)

    def copy(self, owner: str, act: str, name: str) -> None:
        for place, fields in self.components.items():
            own, gfs, truth = fields[owner], self.planet("gfs", place), self.planet("truth", place)
            rmse = float(np.sqrt(np.average((own - truth) ** 2, axis=0, weights=GRID.row_weights).mean()))
            noise = self._noise.standard_normal(own.shape)
            copied = {
                "noise": own + 0.2 * rmse * noise,
                "scaled": gfs + 0.8 * (own - gfs),
                "rolled": np.roll(own, 1, axis=1),
                "junk": own + 1e4 * noise,
            }[act]
            fields[name] = copied.astype(np.float32)

    def likeness(self) -> Likeness:
        return run_likeness(self._compared(), GRID.row_weights)

    def _compared(self) -> Iterator[tuple[Mapping[str, Values], Values]]:
        return ((fields, self.planet("gfs", place)) for place, fields in self.components.items())


def season_of(*makes: str, count: int = 8, runs: int = 3, first: int = 0) -> list[Likeness]:
    """Runs of honest miners with copies of m000, m001, …, one act each."""
    season = []
    for number in range(first, first + runs):
        run = Run(number)
        run.honest(count)
        for owner, act in enumerate(makes):
            run.copy(f"m{owner:03}", act, f"{act}-{owner}")
        season.append(run.likeness())
    return season


def names(copies: list[NearCopy]) -> set[tuple[str, str]]:
    return {(copy.one, copy.other) for copy in copies}


def test_noise_of_a_fifth_of_the_owners_error_is_found_with_power_of_95_percent() -> None:
    found = total = 0
    for season in range(5):
        makes = ["noise"] * 4
        guilty = names(near_copies(season_of(*makes, count=12, first=3 * season)))
        copies = {(f"m{owner:03}", f"noise-{owner}") for owner in range(4)}
        assert guilty <= copies
        found, total = found + len(guilty), total + len(copies)
    assert found >= 0.95 * total


def test_honest_twins_that_post_process_one_forecast_are_at_most_one_of_ten_thousand_pairs() -> None:
    season = []
    for number in range(3):
        run = Run(number)
        run.twins(142)
        season.append(run.likeness())
    assert len(season[0].hotkeys) * (len(season[0].hotkeys) - 1) // 2 > 10_000
    assert len(near_copies(season)) <= 1


@pytest.mark.parametrize("count", [4, 8])
def test_scaled_rolled_and_noisy_copies_are_found_although_one_miner_sends_junk(count: int) -> None:
    season = season_of("noise", "scaled", "rolled", "junk", count=count)
    assert names(near_copies(season)) == {("m000", "noise-0"), ("m001", "scaled-1"), ("m002", "rolled-2")}


def test_own_parts_are_compared_whatever_their_size_and_sign() -> None:
    rng = np.random.default_rng(1)
    public, own = rng.standard_normal((16, 32)), rng.standard_normal((6, 16, 32))
    fields = public + own * np.array([1, 2, 3, 4, 5, 6])[:, None, None]
    fields[5] = public + 9 * own[4]
    found = similarities(fields.astype(np.float32), public.astype(np.float32), GRID.row_weights)
    assert found[4, 5] > 0.9 > 0.6 > np.sort(found[np.triu_indices(6, 1)])[-2]
    assert np.array_equal(found, found.T)
    assert (
        similarities(np.stack([public] * 5).astype(np.float32), public.astype(np.float32), GRID.row_weights).max() == 0
    )


def run(*alike: Alike, hotkeys: tuple[str, ...] = ("a", "b", "c", "d", "e"), spread: float = 0.05) -> Likeness:
    return Likeness(hotkeys=hotkeys, middle=0.1, spread=spread, alike=alike)


LOUD, LOW = Alike("a", "b", 10, 0.95), Alike("a", "b", 10, 0.85)


@pytest.mark.parametrize(
    ("season", "guilty"),
    [
        ([run(LOUD)] * 3, True),
        ([run(LOUD)] * 2, False),  # runs
        ([run(Alike("a", "b", 6, 0.95))] * 3, False),  # components
        ([run(LOW)] * 3, False),  # threshold
        ([run(LOUD), run(LOUD), run(LOW)], False),  # not in the run that is judged
        ([run(LOUD), run(LOW), run(LOUD)], True),
        ([run(LOUD), run(), run(), run(LOUD)], False),
        ([run(LOUD), run(hotkeys=("b", "c")), run(LOUD), run(LOUD)], True),  # was not there
        ([run(LOUD, spread=0.3)] * 3, False),  # so are others
    ],
)
def test_a_pair_is_guilty_over_a_season(season: list[Likeness], guilty: bool) -> None:
    assert bool(near_copies(season)) is guilty
