"""Every pair of status words, against the code and against both databases (AT-R2)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import pytest
from sqlalchemy import exc, text
from sqlalchemy.orm import Session

from adapters.ledger import transitions
from adapters.ledger.engine import Ledger
from adapters.ledger.jobs import advance_job
from adapters.ledger.responses import advance_response
from adapters.ledger.runs import advance_run, close_run
from adapters.ledger.values import JobStep, ResponseStep
from tests.activities.ledger.builders import MINER, OPENED, RUN, closing, events_of, prepare
from weather.faults import LedgerConflict

TABLES = {
    "weather_forecast_runs": transitions.RUN,
    "weather_miner_responses": transitions.RESPONSE,
    "weather_scoring_jobs": transitions.JOB,
}


@pytest.fixture
def session(ledger: Ledger) -> Iterator[Session]:
    with ledger.begin() as session:
        prepare(session, MINER.hotkey)
        session.flush()
        yield session


def words_of(edges: transitions.Edges) -> list[str]:
    return [word for word in edges if word is not None]


def path_to(edges: transitions.Edges, word: str) -> list[str]:
    paths: dict[str | None, list[str]] = {None: []}
    for origin in (reached := [None]):
        for target in sorted(edges[origin]):
            if target not in paths:
                paths[target] = [*paths[origin], target]
                reached.append(target)
    return paths[word]


def put(session: Session, table: str, word: str) -> None:
    """Write the status past the code; the first word inserts the row."""
    outcome = {"completed": "'closed'", "error": "'void'"}.get(word, "NULL")
    closed_at = "NULL" if outcome == "NULL" else "'2026-12-09 00:00:00+00:00'"
    code = "'InternalError'" if word == "failed" else "NULL"
    extra = {
        "weather_forecast_runs": f", outcome = {outcome}, closed_at = {closed_at}",
        "weather_scoring_jobs": f", code = {code}",
    }
    written = session.connection().execute(text(f"UPDATE {table} SET status = '{word}'{extra.get(table, '')}"))
    if written.rowcount:
        return
    columns = {
        "weather_miner_responses": f"hotkey, status_ordinal, detail) VALUES ('{MINER.hotkey}', 0, ''",
        "weather_scoring_jobs": f"score_type, lead_hours, generation, code) VALUES ('day1_qc', 0, 1, {code}",
    }[table]
    names, values = columns.split(") VALUES (")
    session.execute(
        text(
            f"INSERT INTO {table} (run_id, status, updated_at, {names})"
            f" VALUES ('{RUN}', '{word}', '2026-11-22 22:00:00+00:00', {values})"
        )
    )


@pytest.mark.parametrize("table", TABLES)
def test_the_database_lets_pass_exactly_the_legal_edges(session: Session, table: str) -> None:
    edges = TABLES[table]
    words = words_of(edges)
    for origin, target in product([*words, None], [*words, "unheard_of"]):
        if table == "weather_forecast_runs" and origin is None:
            continue
        legal = target == origin or target in edges[origin]
        assert allows(session, table, origin, target) == legal, (origin, target)


def allows(session: Session, table: str, origin: str | None, target: str) -> bool:
    outer = session.begin_nested()
    for word in path_to(transitions.RUN, "pending")[1:] if origin is None else path_to(TABLES[table], origin):
        put(session, table, word)
    try:
        with session.begin_nested():
            put(session, table, target)
    except exc.IntegrityError:
        return False
    else:
        return True
    finally:
        outer.rollback()


def test_a_run_is_inserted_as_pending_only(session: Session) -> None:
    columns = "network, validator_hotkey, purpose, init_time, grid, layout_digest, score_spec_digest, case_set_digest"
    same = f"{columns}, close_by, opened_at, config, status_ordinal"
    copy = f"INSERT INTO weather_forecast_runs (run_id, status, {same}) SELECT :run, :status, {same}"
    session.execute(text(f"{copy} FROM weather_forecast_runs"), {"run": "second", "status": "pending"})
    with pytest.raises(exc.IntegrityError), session.begin_nested():
        values = {"run": "third", "status": "initial_scoring_queued"}
        session.execute(text(f"{copy} FROM weather_forecast_runs WHERE run_id = '{RUN}'"), values)


def test_the_code_lets_a_run_pass_exactly_the_legal_edges(session: Session) -> None:
    words = words_of(transitions.RUN)
    for origin, target in product(words, words):
        outer = session.begin_nested()
        for word in path_to(transitions.RUN, origin)[1:]:
            go(session, word)
        if target == origin or target in transitions.RUN[origin]:
            go(session, target)
        else:
            with pytest.raises(LedgerConflict, match=f"cannot go from {origin} to {target}"):
                advance_run(session, RUN, target, "test", OPENED)
        outer.rollback()
        session.expire_all()


def go(session: Session, word: str) -> None:
    if transitions.RUN[word]:
        advance_run(session, RUN, word, "test", OPENED)
    else:
        close_run(session, RUN, closing(outcome="closed" if word == "completed" else "void"))


@pytest.mark.parametrize("to", ["completed", "error"])
def test_a_run_ends_by_closing_only(session: Session, to: str) -> None:
    for word in path_to(transitions.RUN, "final_scoring_completed")[1:]:
        advance_run(session, RUN, word, "test", OPENED)
    with pytest.raises(LedgerConflict, match="close_run only"):
        advance_run(session, RUN, to, "test", OPENED)


def test_a_response_rises_over_legal_edges_and_never_falls(session: Session) -> None:
    words = words_of(transitions.RESPONSE)
    ranks = transitions.RESPONSE_RANKS
    for origin, target in product(words, words):
        outer = session.begin_nested()
        for word in path_to(transitions.RESPONSE, origin):
            answer(session, word)
        legal = target in transitions.RESPONSE[origin] - transitions.RERUN.get(origin, frozenset())
        if not legal and ranks[target] > ranks[origin]:
            with pytest.raises(LedgerConflict):
                answer(session, target)
        else:
            assert answer(session, target) == (target if legal else origin)
        outer.rollback()
        session.expire_all()


def answer(session: Session, word: str) -> str:
    step = ResponseStep(run_id=RUN, hotkey=MINER.hotkey, to=word, at=OPENED)
    return advance_response(session, step).status


def test_an_answer_without_a_first_one_implies_it(session: Session) -> None:
    assert answer(session, "inference_triggered") == "inference_triggered"
    types = [event.type.removeprefix("io.barograph.") for event in events_of(session, f"{RUN}/miner/{MINER.hotkey}")]
    assert sorted(types) == ["forecast.requested", "run.status_changed"]


def test_a_job_passes_exactly_the_legal_edges(session: Session) -> None:
    words = words_of(transitions.JOB)
    for origin, target in product(words, words):
        outer = session.begin_nested()
        for word in path_to(transitions.JOB, origin):
            advance_job(session, job(word))
        if target == origin or target in transitions.JOB[origin]:
            assert advance_job(session, job(target)).status == target
        else:
            with pytest.raises(LedgerConflict):
                advance_job(session, job(target))
        outer.rollback()
        session.expire_all()


def job(word: str) -> JobStep:
    code = "InternalError" if word == "failed" else None
    return JobStep.model_validate({"run_id": RUN, "score_type": "day1_qc", "to": word, "at": OPENED, "code": code})


def test_golden_edges_of_a_response() -> None:
    assert transitions.RESPONSE["input_fetch_error"] >= {"fetch_initiated", "input_validation_complete"}
    assert "input_hash_mismatch" not in transitions.RESPONSE["input_validation_complete"]
    assert transitions.RESPONSE["verifying_manifest"] == {
        "verified_manifest_store_opened",
        "failed_manifest_verification",
        "verification_error",
    }
    assert transitions.RESPONSE["verified_manifest_store_opened"] == frozenset()
