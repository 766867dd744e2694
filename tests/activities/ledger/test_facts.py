from __future__ import annotations

import math
import shutil
import struct
from datetime import timedelta
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from sqlalchemy import exc, func, insert, select, text
from sqlalchemy.orm import Session

from adapters.ledger.engine import Ledger
from adapters.ledger.facts import facts_of, faults_of, record_facts, record_faults
from adapters.ledger.tables.base import Row
from adapters.ledger.tables.scores import FaultRecordRow, ScoreFactRow
from adapters.ledger.values import ScoreFact
from tests.activities.ledger.builders import RUN, T0, fact, fault, prepare
from weather.faults import LedgerConflict, tree

LEADS = (24, 48)


def many(number: int) -> list[ScoreFact]:
    levels = 100
    return [fact(hotkey=f"{n // levels:064x}", level=n % levels, score=n / number) for n in range(number)]


def test_facts_come_back_to_the_last_bit(ledger: Ledger) -> None:
    written = [
        fact(checks={"terms": {"u": 0.1, "a": -0.0}, "codes": ["é"]}, reference_digests={"gfs": "7" * 64}),
        fact(variable="2t", level=0, score=math.nextafter(0.3, 1)),
        fact(pass_="day1_qc", lead_hours=6, truth_version="gfs_analysis", score=None),
    ]
    with ledger.begin() as session:
        prepare(session)
        record_facts(session, written)
    with ledger.read() as session:
        stored = facts_of(session, RUN)
    assert sorted(stored, key=repr) == sorted(written, key=repr)
    bits = {name: struct.pack(">d", value) for name, value in stored[0].sums.items()}
    assert bits == {name: struct.pack(">d", value) for name, value in written[0].sums.items()}
    assert list(map(type, stored[0].sums.values())) == [float] * 9


def test_absent_dimensions_are_words(ledger: Ledger) -> None:
    with ledger.begin() as session:
        prepare(session)
        record_facts(session, [fact(variable="2t", level=0), fact()])
        record_faults(session, [fault()])
        levels = session.execute(text("SELECT level FROM weather_forecast_component_scores ORDER BY level")).scalars()
        assert levels.all() == ["500", "surface"]
        scope = session.execute(text("SELECT pass, variable, level, region FROM fault_records")).one()
        assert tuple(scope) == ("*", "*", "*", "*")


def test_a_repeated_batch_writes_nothing(ledger: Ledger) -> None:
    with ledger.begin() as session:
        prepare(session)
        record_facts(session, [fact(), fact(lead_hours=48)])
    with ledger.begin() as session:
        later = {"scored_at": T0 + timedelta(days=30), "package_version": "9"}
        record_facts(session, [fact(**later), fact(lead_hours=72)])
        assert {one.lead_hours: one.package_version for one in facts_of(session, RUN)} == {
            24: "0.1.0",
            48: "0.1.0",
            72: "0.1.0",
        }


@pytest.mark.parametrize(
    "change", [{"score": 0.5}, {"truth_digest": "0" * 64}, {"sums": {"W": math.nextafter(1, 2)}}, {"sums": {}}]
)
def test_other_content_under_a_key_is_a_conflict_that_leaves_the_first(ledger: Ledger, change: dict[str, Any]) -> None:
    with ledger.begin() as session:
        prepare(session)
        record_facts(session, [fact()])
    with pytest.raises(LedgerConflict, match="another value under this key"), ledger.begin() as session:
        record_facts(session, [fact(lead_hours=48), fact(**change)])
    with ledger.read() as session:
        assert facts_of(session, RUN) == [fact()]


def test_two_values_under_a_key_in_one_batch_are_a_conflict(ledger: Ledger) -> None:
    with pytest.raises(LedgerConflict), ledger.begin() as session:
        prepare(session)
        record_facts(session, [fact(score=0.1), fact(score=0.2)])


@pytest.mark.parametrize("change", [{"generation": 2}, {"truth_version": "era5"}, {"region": "europe"}])
def test_another_generation_truth_or_region_stands_beside(ledger: Ledger, change: dict[str, Any]) -> None:
    with ledger.begin() as session:
        prepare(session)
        record_facts(session, [fact(), fact(score=0.5, **change)])
        assert len(facts_of(session, RUN)) == 2


def test_evidence_of_a_repeated_fault_is_not_compared(ledger: Ledger) -> None:
    with ledger.begin() as session:
        prepare(session)
        record_faults(session, [fault(lead_hours=24)])
        record_faults(session, [fault(lead_hours=24, found="again", attempts=[1], recorded_at=T0)])
        assert faults_of(session, RUN) == [fault(lead_hours=24)]
    with pytest.raises(LedgerConflict), ledger.begin() as session:
        record_faults(session, [fault(lead_hours=24, code="MinerTimeout")])


def test_of_faults_that_cost_the_whole_run_the_first_code_stands(ledger: Ledger) -> None:
    with ledger.begin() as session:
        prepare(session)
        record_faults(session, [fault()])
        record_faults(session, [fault(code="ExactClone", cause="policy"), fault(lead_hours=24)])
        assert faults_of(session, RUN) == [fault(), fault(lead_hours=24)]
    with pytest.raises(LedgerConflict), ledger.begin() as session:
        record_faults(session, [fault(code="VoidedByOperator", cause="policy", effect="V")])


def test_faults_come_in_the_order_in_which_they_became_final(ledger: Ledger) -> None:
    second = fault(lead_hours=24, recorded_at=T0 + timedelta(days=2))
    first = fault(lead_hours=240, recorded_at=T0 + timedelta(days=1))
    with ledger.begin() as session:
        prepare(session)
        record_faults(session, [second, first])
        assert faults_of(session, RUN) == [first, second]


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.lists(
        st.lists(st.tuples(st.sampled_from(LEADS), st.sampled_from([0.25, 0.75])), max_size=4), min_size=1, max_size=5
    )
)
def test_whatever_is_written_the_first_value_of_a_key_stands(
    tmp_path: Path, sqlite_template: Path, batches: list
) -> None:
    path = shutil.copy(sqlite_template, tmp_path / "law.db")
    known: dict[int, float] = {}
    with Ledger(f"sqlite:///{path}") as ledger:
        with ledger.begin() as session:
            prepare(session)
        for batch in batches:
            _check_law(ledger, batch, known)


def _check_law(ledger: Ledger, batch: list[tuple[int, float]], known: dict[int, float]) -> None:
    wanted: dict[int, set[float]] = {}
    for lead, score in batch:
        wanted.setdefault(lead, {known[lead]} if lead in known else set()).add(score)
    facts = [fact(lead_hours=lead, score=score) for lead, score in batch]
    if any(len(scores) > 1 for scores in wanted.values()):
        with pytest.raises(LedgerConflict), ledger.begin() as session:
            record_facts(session, facts)
    else:
        with ledger.begin() as session:
            record_facts(session, facts)
        known.update(batch)
    with ledger.read() as session:
        assert {one.lead_hours: one.score for one in facts_of(session, RUN)} == known


def test_thousands_of_facts_are_one_short_transaction(ledger: Ledger) -> None:
    facts = many(3_000)
    for _ in range(2):
        with ledger.begin() as session:
            prepare(session)
            record_facts(session, facts)
    with ledger.read() as session:
        assert session.scalar(select(func.count()).select_from(ScoreFactRow)) == 3_000


def takes(session: Session, table: type[Row], **changes: Any) -> bool:
    """Whether the database itself takes the only row of a table once more, with changes."""
    row = dict(session.execute(select(table.__table__)).mappings().one())
    attempt = session.begin_nested()
    try:
        session.execute(insert(table).values(row | changes))
    except exc.IntegrityError:
        return False
    else:
        return True
    finally:
        attempt.rollback()


def test_the_database_takes_facts_with_a_finite_score_only(ledger: Ledger) -> None:
    """AT-F4; a part of the day-1 gate may be without a score of its own."""
    with ledger.begin() as session:
        prepare(session)
        record_facts(session, [fact()])
        for score, pass_ in product([None, -0.1, 0.0, 1.0, 1.1, math.inf], ["day1_qc", "era5_final", "day2"]):
            legal = pass_ != "day2" and (pass_ == "day1_qc" if score is None else 0 <= score <= 1)
            assert takes(session, ScoreFactRow, lead_hours=48, score=score, **{"pass": pass_}) == legal, (score, pass_)
        for wrong in ({"score": math.nan}, {"truth_version": "guess"}, {"kind": "x"}):
            assert not takes(session, ScoreFactRow, lead_hours=48, **wrong), wrong


def test_the_database_takes_faults_with_a_code_that_cost_who_may_be_charged_only(ledger: Ledger) -> None:
    """AT-F4."""
    causes, effects = ("miner", "policy", "source", "platform", "nobody", None), ("W", "V", "X", None)
    with ledger.begin() as session:
        prepare(session)
        record_faults(session, [fault()])
        for code, cause, effect, hotkey in product(("DiskFull", "", None), causes, effects, ("2" * 64, "*")):
            costs = effect == "W" and cause in ("miner", "policy") and hotkey != "*"
            void = effect == "V" and cause in ("policy", "source", "platform")
            values = {"code": code, "cause": cause, "effect": effect, "hotkey": hotkey}
            assert takes(session, FaultRecordRow, **values) == (code == "DiskFull" and (costs or void)), values


@pytest.mark.parametrize("effect", ["W", "V"])
@pytest.mark.parametrize("cause", ["miner", "policy", "source", "platform"])
def test_only_miner_and_policy_may_cost_points(effect: str, cause: str) -> None:
    code = next(name for name, kind in tree().items() if kind.cause == cause and kind.__subclasses__() == [])
    values = {"cause": cause, "effect": effect, "code": code}
    if (effect == "W") == (cause in ("miner", "policy")) or cause == "policy":
        assert fault(**values).code == code
        return
    with pytest.raises(ValidationError):
        fault(**values)


def test_a_code_belongs_to_its_cause() -> None:
    with pytest.raises(ValidationError, match="no code of cause miner"):
        fault(code="DiskFull")


@pytest.mark.parametrize("score", [math.nan, math.inf, -0.1, 1.1, None])
def test_a_final_fact_has_a_score_from_zero_to_one(score: float | None) -> None:
    with pytest.raises(ValidationError):
        fact(score=score)
