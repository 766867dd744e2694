"""AT-O5: every waiting, failed and zero state, every code and every sink has its answer."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, get_args

import pytest

from activities.messages.status import Kind
from adapters.ledger import transitions
from adapters.ledger.tables.runs import ForecastRunRow, InterventionRow, MinerResponseRow, ScoringJobRow
from adapters.ledger.tables.weights import WeightPublicationRow
from adapters.ledger.values import Reason
from protocol.round_backend import State
from starter.commands.whys import JOBS, OUTBOX, PUBLICATIONS, RESPONSES, RUNS, UNSCORED, of_code, of_row, of_run
from tests.activities.ledger.builders import OPENED, RUN, T0
from weather.faults import tree
from weather.second_chances import TABLE

ROOTS = {"Fault", "MinerFault", "PolicyRefusal", "SourceFault", "PlatformFault"}
DONE = {"complete", "completed", "confirmed", "stored"}
LATER = T0 + timedelta(days=25)


def run_row(**changes: Any) -> ForecastRunRow:
    values = {"run_id": RUN, "status": "pending", "commit_deadline": OPENED, "close_by": LATER, "coverage": "1/2"}
    return ForecastRunRow(**values | changes)


def test_each_word_of_each_status_column_is_in_the_table() -> None:
    open_ = {word for word, targets in transitions.RUN.items() if word and targets}
    assert set(RUNS) == open_ | {"held", "fail"} | set(get_args(Reason))
    assert set(JOBS) == transitions.JOB.keys() - {None}
    assert set(RESPONSES) == set(transitions.RESPONSE)
    assert set(PUBLICATIONS) == transitions.PUBLICATION.keys() - {None}
    assert set(OUTBOX) == set(get_args(State))


@pytest.mark.parametrize("table", [RUNS, JOBS, RESPONSES, PUBLICATIONS, OUTBOX])
def test_each_state_that_is_not_done_says_whose_turn_it_is(table: dict[str, Any]) -> None:
    for word, state in table.items():
        assert (state.kind is None) is (word in DONE) and state.kind in (None, "code", *get_args(Kind))
        assert state.says


def test_each_code_says_whose_fault_it_is_what_is_tried_again_and_which_verbs_help() -> None:
    chances = {code: row for row in TABLE for code in row.codes if "transfer" in row.phases or row.phases == {"commit"}}
    assert set(UNSCORED) | set(chances) | ROOTS == set(tree())
    for code, kind in tree().items():
        cause, says, verbs = of_code(code)
        assert cause == kind.cause and len(says) > 20
        if row := chances.get(code):
            assert row.automatic in says and verbs == row.verbs
            assert row.until == "never" or says.endswith(row.until.replace("_", " "))
    assert of_code("NoLongerKnown")[0] == "platform"
    assert of_code("MinerTimeout", early=True) != of_code("MinerTimeout")


@pytest.mark.parametrize(
    ("changes", "kind", "code", "verbs"),
    [
        ({"status": "pending"}, "timer", None, {"hold", "void"}),
        ({"status": "initial_scoring_running"}, "worker", None, {"hold", "skip"}),
        ({"status": "final_scoring_failed"}, "platform", "DiskFull", {"rerun", "accept", "void"}),
        ({"held_by": "ada"}, "operator", None, {"release"}),
        ({"review": "fail"}, "operator", None, {"accept"}),
        ({"status": "completed", "outcome": "closed", "outcome_reason": "complete"}, None, None, set()),
        ({"status": "error", "outcome": "void", "outcome_reason": "coverage"}, "platform", "DiskFull", set()),
        ({"status": "error", "outcome": "void", "outcome_reason": "operator"}, "operator", None, set()),
    ],
)
def test_a_run_ends_in_one_leaf(changes: dict[str, Any], kind: str | None, code: str | None, verbs: set[str]) -> None:
    act = InterventionRow(actor="ada", reason="a look at it")
    leaf = of_run(run_row(**changes), OPENED, {"DiskFull": 3}, act if kind == "operator" else None)
    assert (leaf.subject, leaf.kind, leaf.code, leaf.since) == (RUN, kind, code, OPENED)
    assert verbs <= set(leaf.verbs) and bool(leaf.verbs) is bool(verbs)
    assert (leaf.next is not None) is ("outcome" not in changes)
    assert (leaf.evidence.get("actor") == "ada") is (kind == "operator")
    assert "{" not in leaf.says and (code is None or "DiskFull (3)" in leaf.says)


def test_a_void_run_without_any_record_is_ours() -> None:
    leaf = of_run(run_row(status="error", outcome="void", outcome_reason="coverage"), OPENED, {}, None)
    assert (leaf.kind, leaf.code) == ("platform", None) and "cases that nobody settled" in leaf.says


def test_rows_tell_code_evidence_instants_and_the_verbs_that_still_help() -> None:
    failed = ScoringJobRow(status="failed", code="TruthNotYetAvailable", lead_hours=24, updated_at=OPENED)
    leaf = of_row("job", JOBS["failed"], failed, run_row())
    assert (leaf.kind, leaf.code, leaf.since, leaf.verbs) == ("source", failed.code, OPENED, ("rerun", "accept"))
    assert leaf.evidence == {"status": "failed"} and "every 6 h" in leaf.says
    assert of_row("job", JOBS["failed"], failed, run_row(outcome="void")).verbs == ()
    answer = MinerResponseRow(status="verification_error", code="ManifestAbsent", found="404", expected="200")
    leaf = of_row("miner", RESPONSES[answer.status], answer, run_row())
    assert (leaf.kind, leaf.verbs, leaf.evidence["found"]) == ("miner", ("rerun",), "404")
    leaf = of_row("miner", RESPONSES[None], None, run_row())
    assert (leaf.kind, leaf.next, leaf.evidence) == ("timer", OPENED, {})
    missed = WeightPublicationRow(state="missed", code="NothingToPublish", updated_at=OPENED)
    leaf = of_row("sink", PUBLICATIONS["missed"], missed, missed)
    assert (leaf.kind, leaf.code) == ("platform", "NothingToPublish") and "until a round counts" in leaf.says
