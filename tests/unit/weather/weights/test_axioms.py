"""The axioms that every policy keeps (AT-W2); scores are coarse, so that ties are common."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.weather.weights.rounds import BASELINE, round_of, standings
from weather.weights.policies import ParetoSubsets, Policy, Proportional, WinnerTakesAll, shares
from weather.weights.window import RoundState, Standing, Window, counted_window

STEP = 2 * 10**8
KINDS = ("linear", "exponential", "equal")


@dataclass(frozen=True)
class World:
    """Rounds, standings and one policy of each kind; `numbers` are left for the test."""

    rounds: list[RoundState]
    miners: list[Standing]
    policies: tuple[ParetoSubsets, WinnerTakesAll, Proportional]
    numbers: Iterator[int]

    def pick(self, below: int) -> int:
        return next(self.numbers) % below

    def shares(self, policy: Policy, rounds: list[RoundState] | None = None, miners: list[Standing] | None = None):
        made = self.rounds if rounds is None else rounds
        return shares(policy, Window(made, BASELINE), self.miners if miners is None else miners)

    def changed(self, number: int, hotkey: str, parts: dict[str, int] | None, total: int | None) -> list[RoundState]:
        """The rounds with other facts of a hotkey in one of them, or with none."""
        old = self.rounds[number]
        scores, totals = dict(old.scores), dict(old.totals)
        scores.pop(hotkey, None)
        totals.pop(hotkey, None)
        if parts is not None and total is not None:
            scores[hotkey], totals[hotkey] = parts, total
        return [*self.rounds[:number], replace(old, scores=scores, totals=totals), *self.rounds[number + 1 :]]


def world(entropy: bytes) -> World:
    """A few rounds of a few miners out of bytes: 0 … 5 fifths for each score, a group void now and then."""
    numbers = iter(entropy)

    def pick(below: int) -> int:
        return next(numbers) % below

    names = "abcd"[: 1 + pick(4)]
    groups = [f"g{number}" for number in range(1 + pick(3))]
    rounds = [_round(2 * serial, names, [g for g in groups if pick(6)], groups, pick) for serial in range(1 + pick(3))]
    miners = [
        Standing(name, pick(3), (None, 0, 2, 4)[pick(4) if pick(3) == 0 else 1], ("x", None, None)[pick(3)])
        for name in names
    ]
    gaps = {"q_ppm": pick(3) * 150_000, "gamma_min_ppm": pick(2) * 20_000}
    pareto = ParetoSubsets.model_validate({"points": KINDS[pick(3)], **gaps})
    proportional = Proportional(mass="power" if pick(2) else "softmax", power=1 + pick(3))
    return World(rounds, miners, (pareto, WinnerTakesAll(alpha_ppm=10**6 // (1 + pick(10))), proportional), numbers)


def _round(serial: int, names: str, whole: list[str], groups: list[str], pick) -> RoundState:
    ranked = [name for name in names if pick(8)] + [BASELINE]
    scores = {name: {group: STEP * pick(6) for group in whole} for name in ranked}
    totals = {name: STEP * pick(6) for name in ranked}
    return RoundState(serial, f"r{serial}", "closed", Fraction(1), 0, dict.fromkeys(groups, 1), scores, totals)


WORLDS = st.binary(min_size=112, max_size=112).map(world)
examples = settings(max_examples=2_000, deadline=None)


def gains(policy: Policy, world: World, rounds: list[RoundState] | None = None):
    """What a policy's shares are made of: points, S or D."""
    miners = sorted(world.miners, key=lambda each: each.seniority)
    window = Window(world.rounds if rounds is None else rounds, BASELINE)
    if isinstance(policy, ParetoSubsets):
        return policy.won(window, miners)
    return policy.average(window, miners) if isinstance(policy, WinnerTakesAll) else policy.excess(window, miners)


@examples
@given(WORLDS, st.integers(0, 10**9), st.integers(1, 10**6), st.integers(10_000, 10**7))
def test_sum(known: World, burn: int, cool: int, warm: int) -> None:
    pareto, winner, proportional = known.policies
    for policy in (
        pareto.model_copy(update={"temperature_ppm": cool, "burn_rate_ppb": burn}),
        winner.model_copy(update={"alpha_ppm": cool}),
        proportional.model_copy(update={"temperature_ppm": warm, "burn_rate_ppb": burn}),
    ):
        made = known.shares(policy)
        assert all(type(share) is int and share >= 0 for share in made.values())
        assert sum(made.values()) == 10**9
        assert set(made) == {"burn", *(each.hotkey for each in known.miners)}


@examples
@given(WORLDS)
def test_permutation(known: World) -> None:
    """Renaming keeps the shares to 1 ppb if seniority is decided by time alone; rows may come in any order."""
    distinct = [replace(each, registered_at=number) for number, each in enumerate(known.miners)]
    new = {each.hotkey: "wxyz"["abcd".index(each.hotkey) * 3 % 4] for each in distinct}
    renamed = [
        replace(
            each,
            scores={new.get(name, name): parts for name, parts in list(each.scores.items())[::-1]},
            totals={new.get(name, name): total for name, total in list(each.totals.items())[::-1]},
        )
        for each in known.rounds
    ]
    for policy in known.policies:
        assert known.shares(policy, miners=known.miners[::-1]) == known.shares(policy)
        one = known.shares(policy, miners=distinct)
        other = known.shares(policy, renamed, [replace(each, hotkey=new[each.hotkey]) for each in reversed(distinct)])
        assert all(abs(share - other[new.get(name, name)]) <= 1 for name, share in one.items())


@examples
@given(WORLDS)
def test_monotone(known: World) -> None:
    """A better fact never lowers points, S or D, nor the share; with T < 1 of the points only."""
    hotkey = known.miners[known.pick(len(known.miners))].hotkey
    number = known.pick(len(known.rounds))
    old = known.rounds[number]
    if hotkey not in old.totals:
        return
    parts = {group: min(10**9, p + STEP * known.pick(3)) for group, p in old.scores[hotkey].items()}
    better = known.changed(number, hotkey, parts, min(10**9, old.totals[hotkey] + STEP * known.pick(3)))
    for policy in known.policies:
        assert gains(policy, known, better)[hotkey] >= gains(policy, known)[hotkey]
        assert known.shares(policy, better)[hotkey] >= known.shares(policy)[hotkey] - 1


@examples
@given(WORLDS)
def test_absence(known: World) -> None:
    hotkey = known.miners[known.pick(len(known.miners))].hotkey
    absent = known.changed(known.pick(len(known.rounds)), hotkey, None, None)
    for policy in known.policies:
        assert known.shares(policy, absent)[hotkey] <= known.shares(policy)[hotkey] + 1


@examples
@given(WORLDS)
def test_splitting(known: World) -> None:
    """Junior copies, of one identity class in `proportional`, raise no sum and take from nobody."""
    cut = known.pick(len(known.miners))
    original = replace(known.miners[cut], identity_class="own")
    miners = [original if each.hotkey == original.hotkey else each for each in known.miners]
    copies = [
        replace(original, hotkey=f"{original.hotkey}{n}", registered_at=9 * n) for n in range(1, 2 + known.pick(3))
    ]
    rounds = [_copied(each, original.hotkey, copies) for each in known.rounds]
    for policy in known.policies:
        before, after = known.shares(policy, miners=miners), known.shares(policy, rounds, [*copies, *miners])
        assert after[original.hotkey] + sum(after[each.hotkey] for each in copies) <= before[original.hotkey] + 1
        assert all(after[name] >= share - 1 for name, share in before.items())


def _copied(old: RoundState, hotkey: str, copies: list[Standing]) -> RoundState:
    if hotkey not in old.totals:
        return old
    scores = {**old.scores, **{each.hotkey: old.scores[hotkey] for each in copies}}
    return replace(old, scores=scores, totals={**old.totals, **{each.hotkey: old.totals[hotkey] for each in copies}})


@examples
@given(WORLDS)
def test_floor(known: World) -> None:
    hotkey = known.miners[0].hotkey
    low = known.rounds
    for number, old in enumerate(known.rounds):
        floor = old.scores[BASELINE]
        mine = {group: min(p, floor[group]) for group, p in old.scores.get(hotkey, floor).items()}
        total = min(old.totals[BASELINE], old.totals.get(hotkey, 10**9))
        low = replace(known, rounds=low).changed(number, hotkey, mine, total)
    for policy in known.policies:
        assert known.shares(policy, low)[hotkey] == 0


@examples
@given(WORLDS)
def test_void_is_neutral(known: World) -> None:
    """The window itself is equal, so all that is made of it is."""
    rounds = list(known.rounds)
    for serial in (-1, 1, 3)[: known.pick(4)]:
        void = replace(known.rounds[0], serial=serial, outcome="void", totals={"a": 1})
        rounds.insert(known.pick(len(rounds) + 1), void)
    size = 1 + known.pick(4)
    assert counted_window(rounds, 4, size, 700_000) == counted_window(known.rounds, 4, size, 700_000)


@examples
@given(WORLDS)
def test_the_champion_is_within_the_gap_of_the_best(known: World) -> None:
    """So linear points add up to m·2^(m−1) over the sets that were judged, and nobody is better in all groups."""
    policy = known.policies[0].model_copy(update={"points": "linear"})
    groups = sorted(known.rounds[-1].group_weights)
    whole = [each for each in known.rounds if len(each.scores[BASELINE]) == len(groups)]
    if len(whole) != len(known.rounds):
        return
    won = gains(policy, known)
    assert sum(won.values()) == len(groups) * 2 ** (len(groups) - 1)
    window, (only, *_) = Window(whole, BASELINE), groups
    single = policy.won(
        Window([_alone(each, only) for each in whole], BASELINE), sorted(known.miners, key=lambda m: m.seniority)
    )
    candidates = [Standing("burn", -1, None), *known.miners]
    errors = {m.hotkey: sum(10**9 - window.group_scores(r, m).get(only, 0) for r in whole) for m in candidates}
    champion = max(single, key=lambda name: single[name])
    assert 10**6 * min(errors.values()) >= (10**6 - policy.gap(len(whole))) * errors[champion]


def _alone(old: RoundState, group: str) -> RoundState:
    return replace(old, group_weights={group: 1}, scores={name: {group: p[group]} for name, p in old.scores.items()})


def test_nobody_wins_by_noise() -> None:
    """Ten juniors with the true error of the leader and 5 % noise a round, 28 rounds, 1,000 seeds."""
    juniors = [f"j{number}" for number in range(10)]
    luck, held = Random(9), standings("leader", *juniors)
    for _ in range(1_000):
        rounds = [
            round_of(n, {h: [1 - 0.4 * luck.gauss(1, 0.05)] for h in ("leader", *juniors)}, [0.2]) for n in range(28)
        ]
        assert ParetoSubsets().won(Window(rounds, BASELINE), held)["leader"] == 1
