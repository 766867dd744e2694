"""Each answer of the status table, alone and inside a 207: the exact state, and nothing stored without being held."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from tests.activities.backend.teller import Teller, evaluation
from tests.reference_backend import Trouble

pytestmark = pytest.mark.parametrize("migrated_url", ["sqlite"], indirect=True)
Answers = list[tuple[int, dict[str, Any]]]
PARKED: Answers = [
    (409, {"code": "key-reused"}),
    (409, {"code": "identifier-bound"}),
    (302, {}),
    (400, {"code": "anything"}),
    (410, {}),
    (413, {}),
    (422, {"code": ["no", "word"]}),
]
PENDING: Answers = [
    (202, {}),
    (409, {"code": "window-not-active", "retry_after": 5}),
    (503, {"retry_after": 10**15}),
    (409, {"code": "not-authority"}),
    (409, {"code": "finish-grace"}),
    (401, {}),
    (403, {"code": "forbidden"}),
    *((status, {}) for status in (408, 425, 429, 500, 502, 503, 504)),
]
UNPROVED: Answers = [(200, {}), (201, {"state": "accepted"}), (200, {"state": "stored", "body_sha256": "0" * 64})]
DOUBTED: Answers = [(409, {"code": "already exists"}), (409, {"code": "whatever"}), (409, {}), (404, {})]
LIMITS = {1: PARKED, 3: [*UNPROVED, (409, {"code": "already-stored"})], 5: DOUBTED}
CASES = [(limit, *one) for limit, answers in LIMITS.items() for one in answers] + [(0, *one) for one in PENDING]


def alone(teller: Teller, run: str, status: int, document: dict[str, Any]) -> str:
    teller.agents(1, run)
    teller.backend.befall(Trouble(method="PUT", matches="agent-runs", status=status, document=document))
    return "start_agent_run"


def in_a_batch(teller: Teller, run: str, status: int, document: dict[str, Any]) -> str:
    """Beside two items that are taken."""
    teller.evaluations(3, run)
    key = next(row.key for row in teller.rows(run) if row.item == evaluation(1)[1])
    teller.backend.befall(Trouble(method="item", matches=key, status=status, document=document))
    return "add_evaluation"


@pytest.mark.parametrize("told", [alone, in_a_batch])
def test_what_is_not_proved_is_tried_again_or_parked(teller: Teller, told: Any) -> None:
    """AT-X3 and, of 409, AT-X5; after each delivery whatever is stored is held by the backend."""
    for number, (limit, status, document) in enumerate(CASES):
        run = teller.open(number)
        operation = told(teller, run, status, document)
        states = []
        for _ in range(limit or 6):
            teller.until(teller.deliver(run) or teller.clock.now())
            states.append(teller.states(operation, run))
        refused = [state.pop(1) if told is in_a_batch else state.pop() for state in states]
        assert {state for others in states for state in others} <= {"stored"}, (status, document)
        expected = ["pending"] * (limit - 1) + ["parked"] if limit else ["pending"] * 6
        assert refused == expected, (status, document)


@pytest.mark.parametrize("told", [alone, in_a_batch])
@pytest.mark.parametrize("status", [200, 201, 409])
def test_a_proof_is_what_makes_it_stored(teller: Teller, told: Any, status: int) -> None:
    """AT-X3, AT-X5."""
    run = teller.open()
    code = {"code": "already-stored"} if status == 409 else {}
    operation = told(teller, run, status, code)
    (befalls, _), *_ = teller.backend.troubles
    teller.backend.befall(befalls.model_copy(update={"stores": True, "proof": True}))
    assert teller.deliver(run) is None
    assert set(teller.states(operation, run)) == {"stored"}


@pytest.mark.parametrize("told", [alone, in_a_batch])
def test_a_proof_under_a_refusal_proves_nothing(teller: Teller, told: Any) -> None:
    """AT-X5."""
    codes = ["key-reused", "finish-grace", "round-unknown", "tasks-locked", "whatever", None]
    for number, code in enumerate(codes):
        run = teller.open(number)
        operation = told(teller, run, 409, {"code": code} if code else {})
        (befalls, _), *_ = teller.backend.troubles
        teller.backend.befall(befalls.model_copy(update={"proof": True, "times": 1}))
        teller.deliver(run)
        assert set(teller.states(operation, run)) - {"stored"} <= {"pending", "parked"} != set()


@pytest.mark.parametrize("text", ["", "already exists", '{"state":"stored"', "[1]", "<html>stored</html>", "\0"])
def test_prose_proves_nothing(teller: Teller, text: str) -> None:
    """AT-X5."""
    for number, status in enumerate((200, 409, 500)):
        run = teller.open(number)
        alone(teller, run, status, {})
        teller.backend.befall(Trouble(method="PUT", matches="agent-runs", status=status, text=text))
        for _ in range(6):
            teller.until(teller.deliver(run) or teller.clock.now())
        assert teller.states("start_agent_run", run) == ["pending" if status == 500 else "parked"]
        assert teller.row("start_agent_run", run).key not in teller.held()


@pytest.mark.parametrize("told", [alone, in_a_batch])
def test_what_was_accepted_is_asked_for_until_it_is_proved(teller: Teller, told: Any) -> None:
    """AT-X3."""
    run = teller.open()
    operation = told(teller, run, 202, {})
    (befalls, _), *_ = teller.backend.troubles
    waits = Trouble(method="GET", status=202, times=2)
    teller.backend.befall(befalls.model_copy(update={"stores": True}), waits)
    for _ in range(3):
        next_at = teller.deliver(run)
        assert "pending" in teller.states(operation, run)
        teller.until(next_at)
    assert teller.deliver(run) is None
    assert set(teller.states(operation, run)) == {"stored"}
    with teller.backend.connected() as connection:
        assert connection.execute("SELECT max(deliveries) FROM resources").fetchone() == (1,)


def test_what_was_accepted_and_is_gone_is_sent_again(teller: Teller) -> None:
    run = teller.open()
    alone(teller, run, 202, {})
    teller.until(teller.deliver(run))
    teller.backend.befall()
    teller.until(teller.deliver(run))
    assert teller.deliver(run) is None
    assert teller.states("start_agent_run", run) == ["stored"]


def test_an_item_that_is_missing_is_not_stored(teller: Teller) -> None:
    run = teller.open()
    in_a_batch(teller, run, 200, {})
    teller.backend.befall(Trouble(method="item", matches=teller.rows(run)[1].key, lost=True, times=1))
    teller.until(teller.deliver(run))
    assert teller.states("add_evaluation", run) == ["stored", "pending", "stored"]
    assert teller.deliver(run) is None
    assert set(teller.states("add_evaluation", run)) == {"stored"}


@pytest.mark.parametrize("stores", [True, False])
def test_an_answer_that_is_lost_is_asked_for_again_under_the_same_key(teller: Teller, stores: bool) -> None:
    run = teller.open()
    alone(teller, run, 200, {})
    lost = Trouble(method="PUT", matches="agent-runs", status=200, lost=True, stores=stores, times=1)
    teller.backend.befall(lost)
    teller.until(teller.deliver(run))
    assert teller.states("start_agent_run", run) == ["pending"]
    assert (teller.row("start_agent_run", run).key in teller.held()) is stores
    assert teller.deliver(run) is None
    assert teller.states("start_agent_run", run) == ["stored"]


def test_a_round_that_the_receiver_lost_is_told_again_from_its_start(teller: Teller) -> None:
    run = teller.open()
    teller.tell(("set_tasks", "1", {"tasks": []}))
    teller.agents(2)
    teller.deliver()
    with teller.backend.connected() as connection:
        connection.execute("DELETE FROM resources")
    teller.evaluations(1)
    teller.until(teller.deliver(run, proves=False))
    teller.deliver(run)
    assert len(teller.held()) == 5
    assert {row.state for row in teller.rows()} == {"stored"}


@pytest.mark.parametrize("code", ["tasks-locked", "task-set-differs"])
@pytest.mark.parametrize("ours", [True, False])
def test_another_set_that_is_there_is_compared_and_ours_parked(teller: Teller, code: str, ours: bool) -> None:
    teller.open()
    teller.tell(("set_tasks", "1", {"tasks": []}))
    teller.backend.befall(
        Trouble(method="PUT", matches="tasks", status=409, document={"code": code}, stores=ours),
        *([] if ours else [Trouble(method="GET", status=200, document={"state": "stored", "body_sha256": "0" * 64})]),
    )
    teller.until(teller.deliver())
    teller.deliver()
    assert teller.states("set_tasks") == ["stored" if ours else "parked"]


def test_a_batch_that_is_too_large_is_halved_and_a_single_item_parked(teller: Teller) -> None:
    teller.open()
    teller.evaluations(100)
    teller.backend.befall(Trouble(method="POST", status=413, times=3))
    teller.deliver()
    assert set(teller.states("add_evaluation")) == {"stored"}
    teller.tell(("add_evaluation", "one", {"evaluation_id": "one"}))
    teller.backend.befall(Trouble(method="POST", status=413))
    teller.deliver()
    assert teller.states("add_evaluation").count("parked") == 1


def test_parking_and_wrong_credentials_are_alarms(teller: Teller, caplog: pytest.LogCaptureFixture) -> None:
    teller.open()
    teller.token = "wrong"
    next_at = teller.deliver()
    assert next_at is not None and (next_at - teller.clock.now()).total_seconds() == 300
    teller.until(next_at)
    teller.token = "t0ken"
    teller.backend.befall(Trouble(method="PUT", status=422))
    teller.deliver()
    alarms = [record.message for record in caplog.records if record.levelno == logging.ERROR]
    assert ["pending" in alarms[0], "parked" in alarms[1], len(alarms)] == [True, True, 2]
