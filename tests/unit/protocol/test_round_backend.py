"""Ids, keys and paths of the round backend, and the one table of what its answers mean."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from protocol import round_backend
from protocol.names import job_id
from protocol.round_backend import LONGEST_PAUSE, OPERATIONS, Reply, verdict

ROOT = Path(__file__).parents[3]
NETWORK, RUN = "test", "forecast/2026-11-22T18Z"
HOTKEY = "8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c"
JOB = job_id(NETWORK, RUN, HOTKEY)
EVALUATION = "ce244283-4c13-5d50-8d4a-3b70f535171d"
PROGRAM = f"""
from protocol.round_backend import *
from protocol.names import job_id
job = job_id("{NETWORK}", "{RUN}", "{HOTKEY}")
evaluation = evaluation_id(job, "era5_final", 24, 1)
print(task_id("{NETWORK}", "{RUN}", "era5_final", 24), evaluation)
print(*(idempotency_key(one, "{NETWORK}", "{RUN}", evaluation) for one in OPERATIONS))
"""


def test_ids_and_keys_are_the_golden_ones() -> None:
    """AT-S1."""
    assert round_backend.task_id(NETWORK, RUN, "era5_final", 24) == "ebc2399c-9c94-5518-a126-838c380ad189"
    assert round_backend.evaluation_id(JOB, "era5_final", 24, 1) == EVALUATION
    assert round_backend.idempotency_key("add_evaluation", NETWORK, RUN, EVALUATION).startswith("cebc0c867a715084")
    assert round_backend.idempotency_key("finish_round", NETWORK, RUN).startswith("b0ddcfbe4fa9c455")


def test_processes_that_hash_otherwise_agree_on_ids_and_keys() -> None:
    """AT-S1."""
    said = [
        subprocess.run(
            [sys.executable, "-c", PROGRAM],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert said[0] == said[1]
    assert said[0].decode().split()[:2] == ["ebc2399c-9c94-5518-a126-838c380ad189", EVALUATION]


def test_a_run_id_is_one_segment_of_the_path() -> None:
    base = "/rounds/forecast%2F2026-11-22T18Z"
    paths = [round_backend.resource(operation, RUN, "x") for operation in OPERATIONS]
    assert paths == [base + end for end in ("", "/tasks", "/agent-runs/x", "/evaluations/x", "/finish")]
    assert round_backend.resource("add_evaluation", RUN) == f"{base}/evaluations"


PROOF_HELPS = [(200, None), (201, None), (409, "already-stored")]
PARKED_AT = {
    1: [
        *[(409, code) for code in ("key-reused", "identifier-bound")],
        *[(status, code) for status in (300, 302, 308, 400, 410, 413, 422) for code in (None, "round-unknown")],
    ],
    3: PROOF_HELPS,
    5: [(409, None), (409, "already exists"), (409, "nobody-knows"), (404, None)],
}
NEVER_PARKED = {
    "accepted": [(202, None)],
    "early": [(409, code) for code in ("window-not-active", "not-authority", "finish-grace")],
    "lost": [(409, "round-unknown"), (404, "round-unknown")],
    "differs": [(409, "tasks-locked"), (409, "task-set-differs")],
    "credentials": [(401, None), (403, "forbidden")],
    "unknown": [(status, None) for status in (0, 100, 204, 207, 408, 425, 429, 500, 502, 503, 599, 999)],
}
ALL = [(rule, *answer) for rule, answers in NEVER_PARKED.items() for answer in answers]


def answers(status: int, code: str | None, count: int = 12) -> list[round_backend.Verdict]:
    """The verdicts on equal answers in a row."""
    judged = [verdict(Reply(status, code), "", 0)]
    while len(judged) < count:
        judged.append(verdict(Reply(status, code), judged[-1].rule.name, judged[-1].attempts))
    return judged


@pytest.mark.parametrize(("at", "status", "code"), [(at, *one) for at, answers in PARKED_AT.items() for one in answers])
def test_what_cannot_be_stored_is_parked_after_so_many_answers_in_a_row(at: int, status: int, code: str | None) -> None:
    assert [one.state for one in answers(status, code, at)] == ["pending"] * (at - 1) + ["parked"]


@pytest.mark.parametrize(("rule", "status", "code"), ALL)
def test_what_may_be_stored_later_is_never_parked(rule: str, status: int, code: str | None) -> None:
    assert {(one.state, one.rule.name) for one in answers(status, code)} == {("pending", rule)}


@pytest.mark.parametrize(
    "code", [None, "already-stored", "key-reused", "finish-grace", "round-unknown", "tasks-locked"]
)
def test_only_a_proof_makes_a_row_stored(code: str | None) -> None:
    for status in range(700):
        assert "stored" not in {one.state for one in answers(status, code, 6)}
        proved = verdict(Reply(status, code, proved=True), "", 0).state == "stored"
        assert proved is ((status, code) in PROOF_HELPS or status in (200, 201))


def test_who_does_not_answer_is_asked_ever_less_often_and_at_the_time_that_is_named() -> None:
    pauses = [one.pause.total_seconds() for one in answers(503, None)]
    assert pauses == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]
    assert verdict(Reply(503, retry_after=timedelta(seconds=77)), "unknown", 400).pause == timedelta(seconds=77)
    assert verdict(Reply(503, retry_after=timedelta(0)), "unknown", 400).pause == timedelta(seconds=1)
    assert verdict(Reply(503, retry_after=timedelta(days=9)), "", 0).pause == timedelta(hours=1)
    assert verdict(Reply(503), "unknown", 10_000).pause == LONGEST_PAUSE


def test_too_early_and_wrong_credentials_wait_their_own_time() -> None:
    assert {one.pause for one in answers(409, "finish-grace")} == {timedelta(seconds=180)}
    assert {(one.pause, one.rule.alarm) for one in answers(403, None)} == {(timedelta(seconds=300), True)}
    named = Reply(409, "window-not-active", retry_after=timedelta(seconds=40))
    assert verdict(named, "", 0).pause == timedelta(seconds=40)


def test_another_rule_begins_its_own_count() -> None:
    assert verdict(Reply(409), "unknown", 99).state == "pending"
    assert verdict(Reply(409), "doubted", 4).state == "parked"


def test_another_set_of_tasks_that_stands_parks_ours_unless_it_is_ours() -> None:
    assert verdict(Reply(200), "differs", 1).state == "parked"
    assert verdict(Reply(200, proved=True), "differs", 1).state == "stored"
    assert verdict(Reply(503), "differs", 1).state == "pending"
