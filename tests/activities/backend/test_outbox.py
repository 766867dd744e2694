"""The outbox: one row a key, kind after kind, given up after a month."""

from __future__ import annotations

import logging
from datetime import timedelta

import pytest

from adapters.ledger import outbox, runs
from tests.activities.backend.teller import CLOSED, Teller, evaluation
from tests.activities.ledger.builders import OPENED, RUN
from tests.reference_backend import Trouble
from weather.faults import LedgerConflict


def test_a_key_has_one_row_and_another_body_is_refused(teller: Teller) -> None:
    teller.open()
    operation, item, body = evaluation(1)
    for _ in range(2):
        teller.tell((operation, item, dict(reversed(body.items()))))
    with pytest.raises(LedgerConflict):
        teller.tell((operation, item, body | {"score": 2}))
    assert [row.body for row in teller.rows() if row.operation == operation] == [
        f'{{"evaluation_id":"{item}","score":1}}'
    ]


def test_a_row_goes_with_the_change_that_it_reports(teller: Teller) -> None:
    teller.open()
    with pytest.raises(LedgerConflict), teller.ledger.begin() as session:
        outbox.enqueue(session, runs.changed_run(session, RUN), *evaluation(1))
        raise LedgerConflict("the change fails")
    assert teller.states("add_evaluation") == []


def test_all_that_is_due_is_delivered_kind_after_kind(teller: Teller) -> None:
    teller.open()
    teller.tell(("finish_round", "1", {"outcome": "closed"}))
    teller.evaluations(150)
    teller.agents(3)
    teller.tell(("set_tasks", "1", {"tasks": []}))
    assert teller.deliver() is None
    assert {row.state for row in teller.rows()} == {"stored"}
    with teller.backend.connected() as connection:
        paths = [path for (path,) in connection.execute("SELECT path FROM resources ORDER BY rowid")]
    assert [path.removeprefix(f"/rounds/{RUN}").split("/")[:2][-1] for path in paths] == [
        "",
        "tasks",
        *["agent-runs"] * 3,
        *["evaluations"] * 150,
        "finish",
    ]


def test_a_kind_waits_for_all_of_the_earlier_kinds(teller: Teller) -> None:
    teller.open()
    teller.agents(2)
    teller.evaluations(1)
    stubborn = teller.row("start_agent_run").item
    teller.backend.befall(Trouble(method="PUT", matches=stubborn, status=422))
    assert teller.deliver() is None
    assert sorted(teller.states("start_agent_run")) == ["parked", "stored"]
    assert teller.states("add_evaluation") == ["pending"]
    teller.close()
    assert teller.deliver() == CLOSED + timedelta(days=30)


def test_without_a_backend_the_rows_wait(teller: Teller) -> None:
    teller.open()
    teller.url = None
    assert teller.deliver() == OPENED
    assert teller.states("start_round") == ["pending"]


def test_a_backend_that_is_down_for_sixty_days_gets_nothing_and_delays_nothing(
    teller: Teller, caplog: pytest.LogCaptureFixture
) -> None:
    """AT-X6."""
    teller.open()
    teller.agents(2)
    teller.evaluations(3)
    teller.url = "http://127.0.0.1:1"
    teller.until(teller.deliver())
    teller.close()
    teller.until(CLOSED)
    pauses = []
    while (next_at := teller.deliver()) is not None:
        pauses.append((next_at - teller.clock.now()).total_seconds())
        teller.clock.advance(timedelta(days=1) if len(pauses) > 12 else next_at - teller.clock.now())
    assert max(pauses[:12]) == 300
    assert {row.state for row in teller.rows()} == {"expired"}
    assert timedelta(days=30) <= teller.clock.now() - CLOSED < timedelta(days=31)
    assert sum("expired" in record.message for record in caplog.records if record.levelno == logging.ERROR) == 1
    teller.clock.advance(timedelta(days=30))
    assert teller.deliver() is None
    assert teller.held() == {}
