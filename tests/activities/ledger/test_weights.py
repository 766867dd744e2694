"""What the database itself refuses of weights, the steps of a publication, and presences in a registry."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from adapters.ledger.engine import Ledger
from adapters.ledger.publications import EpochKey, PublicationStep, move, plan, publication
from adapters.ledger.roster import observe, registered
from adapters.ledger.runs import advance_run, close_run, open_run
from adapters.ledger.tables.weights import (
    RegistryObservationRow,
    WeightPublicationRow,
    WeightVectorRoundRow,
    WeightVectorRow,
)
from tests.activities.ledger.builders import RUN, T0, VALIDATOR, closing, new_run
from weather.faults import LedgerConflict

EPOCH = EpochKey(VALIDATOR.hotkey, "test", 6_515)
ALWAYS = T0 - timedelta(days=300)
STATES = ("planned", "submitted", "committed", "confirmed", "missed")
LEGAL = {
    "planned": {"submitted", "committed", "missed"},
    "submitted": {"committed", "confirmed", "missed"},
    "committed": {"confirmed", "missed"},
    "confirmed": set[str](),
    "missed": set[str](),
}


def vector() -> WeightVectorRow:
    return WeightVectorRow(
        network="test",
        input_digest="1" * 64,
        policy="proportional",
        version=1,
        head=1_303,
        inputs={},
        shares=[["a" * 64, 10**9]],
        shares_digest="2" * 64,
        computed_at=T0,
    )


def end(session: Session, outcome: str | None, run_id: str) -> None:
    open_run(session, new_run(run_id=run_id, purpose="live" if run_id == RUN else "hindcast"))
    if outcome in ("closed", "closed_partial"):
        for to in (
            "initial_scoring_queued",
            "initial_scoring_skipped",
            "final_scoring_triggered",
            "final_scoring_completed",
        ):
            advance_run(session, run_id, to, "told", T0)
    if outcome:
        close_run(session, run_id, closing(outcome=outcome, scores=[], lead_scores={}))


@pytest.mark.parametrize(
    ("outcome", "run_id", "told", "takes"),
    [
        ("closed", RUN, "closed", True),
        ("closed_partial", RUN, "closed_partial", True),
        ("closed_partial", RUN, "closed", False),
        ("void", RUN, "closed", False),
        ("void", RUN, "void", False),
        (None, RUN, "closed", False),
        ("closed", f"campaign/other/{RUN}", "closed", False),
    ],
)
def test_only_a_closed_live_round_can_be_in_a_vector(
    ledger: Ledger, outcome: str | None, run_id: str, told: str, takes: bool
) -> None:
    """AT-P1."""
    with ledger.begin() as session:
        end(session, outcome, run_id)
        session.add(vector())
    row = WeightVectorRoundRow(network="test", input_digest="1" * 64, run_id=run_id, outcome=told)
    if takes:
        with ledger.begin() as session:
            session.add(row)
        return
    with pytest.raises(LedgerConflict), ledger.begin() as session:
        session.add(row)


@pytest.mark.parametrize("change", [update(WeightVectorRow).values(policy="x"), delete(WeightVectorRow)])
def test_a_vector_never_changes(ledger: Ledger, change: object) -> None:
    with ledger.begin() as session:
        session.add(vector())
    with pytest.raises(LedgerConflict), ledger.begin() as session:
        session.execute(change)  # ty: ignore[no-matching-overload]


@pytest.mark.parametrize("before", STATES)
def test_a_publication_takes_its_legal_steps_only(ledger: Ledger, before: str) -> None:
    code = "X" if before == "missed" else None
    row = {"network": "test", "epoch": EPOCH.epoch, "state": before, "code": code, "input_digest": "1" * 64}
    with ledger.begin() as session:
        session.add(vector())
        session.flush()
        session.add_all(WeightPublicationRow(sink=to, updated_at=T0, **row) for to in STATES)
    for to in STATES:
        step = PublicationStep(to, to, T0 + timedelta(minutes=1), code="X" if to == "missed" else None)
        if to in LEGAL[before] | {before}:
            with ledger.begin() as session:
                assert move(session, EPOCH, step).state == to
            continue
        with pytest.raises(LedgerConflict), ledger.begin() as session:
            move(session, EPOCH, step)


@pytest.mark.parametrize(
    "wrong", [{"state": "sent"}, {"input_digest": None}, {"code": "X"}, {"state": "missed"}, {"input_digest": "3" * 64}]
)
def test_a_publication_that_says_nothing_is_refused(ledger: Ledger, wrong: dict[str, object]) -> None:
    row = {"network": "test", "epoch": 1, "sink": "file", "state": "planned", "input_digest": "1" * 64}
    with ledger.begin() as session:
        session.add(vector())
    with pytest.raises(LedgerConflict), ledger.begin() as session:
        session.add(WeightPublicationRow(updated_at=T0, **row | wrong))


def test_the_first_plan_of_an_epoch_stands_and_ends_what_is_left_of_epochs_before(ledger: Ledger) -> None:
    with ledger.begin() as session:
        session.add(vector())
        session.flush()
        plan(session, EPOCH, vector(), ["file"], T0)
    with ledger.begin() as session:
        plan(session, EPOCH, vector(), ["file", "http"], T0 + timedelta(minutes=1))
        assert publication(session, EPOCH, "file").updated_at == T0
        plan(session, EPOCH._replace(epoch=6_516), vector(), ["file"], T0)
    with ledger.read() as session:
        row = WeightPublicationRow
        found = session.execute(select(row.epoch, row.sink, row.state).order_by(row.epoch, row.sink)).all()
    assert found == [(6_515, "file", "missed"), (6_515, "http", "missed"), (6_516, "file", "planned")]


def hours(count: int) -> datetime:
    return T0 + timedelta(hours=count)


@pytest.mark.parametrize(
    ("seen", "since"),
    [
        pytest.param([{"a": None}, {"a": None}], ALWAYS, id="from the first reading on"),
        pytest.param([{"a": hours(-5)}], hours(-5), id="as the registry says"),
        pytest.param([{"a": hours(5)}], hours(0), id="never in the future"),
        pytest.param([{}, {"b": None}, {"a": None}], hours(2), id="found later"),
        pytest.param([{"a": hours(-5)}, {"a": hours(-4)}], hours(-5), id="what it says is read once"),
        pytest.param([{"a": hours(-5)}, {}, {"a": hours(-5)}], hours(2), id="a gap"),
        pytest.param(
            [{"a": hours(-5)}, {}, {}, {"a": hours(2)}], hours(2), id="a gap of which the registry says the end"
        ),
        pytest.param([{"a": None}, {}], None, id="gone"),
    ],
)
def test_a_presence_begins_with_the_last_gap(
    ledger: Ledger, seen: list[dict[str, datetime | None]], since: datetime | None
) -> None:
    """AT-I5."""
    for number, miners in enumerate(seen):
        for _ in range(2):
            with ledger.begin() as session:
                observe(session, "test", miners, hours(number), ALWAYS)
    with ledger.read() as session:
        assert registered(session, "test").get("a") == since
        rows = session.scalars(select(RegistryObservationRow).where(RegistryObservationRow.hotkey == "a")).all()
    lasts = [row.present_until is None for row in sorted(rows, key=lambda row: row.present_from)]
    assert lasts == [False] * (len(rows) - 1) + [since is not None] * min(1, len(rows))
