"""Each verb on the ledger, on both databases."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from activities.messages.operator import Intervention
from activities.messages.run import CloseRun
from adapters.ledger import facts, responses, runs
from adapters.ledger.interventions import interventions_of
from adapters.ledger.rows import rows_of
from adapters.ledger.tables.commitments import LogLeafRow
from adapters.ledger.tables.runs import MinerResponseRow
from adapters.ledger.values import ResponseStep
from tests.activities.ledger.builders import events_of
from tests.activities.operator.scene import LATER, LEADS, VERBS, Scene
from tests.activities.validator.world import ALICE, BOB, CAROL, do
from weather.cases import CaseKey, case_set
from weather.faults import LedgerConflict
from weather.round_score import decide_close, standings

HOUR = timedelta(hours=1)


def kept(scene: Scene) -> list[tuple[str, str, str, str]]:
    with scene.validator.ledger.read() as session:
        return [(row.request_id, row.verb, row.scope, row.state) for row in interventions_of(session, scene.run_id)]


def leaves(scene: Scene) -> list[dict[str, Any]]:
    with scene.validator.ledger.read() as session:
        return [row.entry for row in session.query(LogLeafRow).filter_by(kind="intervention")]


def voids(scene: Scene) -> set[CaseKey]:
    with scene.validator.ledger.read() as session:
        found = [f for f in facts.faults_of(session, scene.run_id) if f.code == "VoidedByOperator"]
    assert {(f.hotkey, f.effect, f.cause) for f in found} <= {("*", "V", "policy")}
    states = standings(case_set(scene.rules), scene.record)
    return {key for key, case in states.items() if case.code == "VoidedByOperator"}


def close(scene: Scene, void_reason: str | None = None) -> Any:
    return do(scene.validator.runs.close_run, CloseRun(run_id=scene.run_id, at=LATER, void_reason=void_reason))


def test_a_verb_is_recorded_with_what_it_changed_in_ledger_log_and_events(scene: Scene) -> None:
    done = scene.finished().ask("skip", "lead:24", request_id="r1")
    receipt = done.receipt
    assert (done.acts, done.leads, receipt.state, receipt.scope) == (True, (), "acted", "lead:24")
    assert receipt.blast_radius.coverage_after == "9/10" and receipt.blast_radius.cases_voided == 5
    assert voids(scene) == set(scene.lead(24))
    assert kept(scene) == [("r1", "skip", "lead:24", "acted")]
    (leaf,) = leaves(scene)
    assert (leaf["verb"], leaf["actor"]) == ("skip", "alice")
    assert leaf["reason_digest"] == hashlib.sha256(b"a reason").hexdigest()
    with scene.validator.ledger.read() as session:
        (row,) = interventions_of(session, scene.run_id)
        assert row.state_before["status"] == "initial_scoring_queued" and row.answer == done.model_dump(mode="json")
        told = [event.data for event in events_of(session, scene.run_id) if "operator" in event.type]
    assert told == [
        {"run": scene.run_id, "verdict": "skip", "actor": "alice", "reason": "a reason", "scope": "lead:24"}
    ]


def test_a_hold_names_its_actor_until_the_release(scene: Scene) -> None:
    assert scene.refused("release") == "the run is not held"
    scene.ask("hold", actor="bob")
    assert scene.row.held_by == "bob"
    assert scene.refused("hold") == "the run is held already"
    scene.ask("release")
    assert scene.row.held_by is None


def test_accept_voids_what_is_open_and_lets_stand_what_is_settled(scene: Scene) -> None:
    scene.score(key for key in scene.keys if key.lead_time_hours < 240)
    scene.score(scene.lead(240)[:2], hotkeys=[ALICE.hotkey])
    done = scene.ask("accept")
    assert voids(scene) == set(scene.lead(240)) and done.leads == (0, 240)
    assert done.receipt.blast_radius.facts_superseded == 2
    scene.score(scene.lead(240))
    assert decide_close(scene.rules, scene.record).coverage < 1
    assert "no case that is open" in scene.refused("accept")


def test_accept_is_refused_if_too_little_would_be_covered(scene: Scene) -> None:
    scene.score(key for key in scene.keys if key.lead_time_hours <= 144)
    assert "found 3/5; expected at least 7/10" in scene.refused("accept")
    assert not scene.refused("accept", "lead:240")


def test_accept_lets_a_failed_review_pass(scene: Scene) -> None:
    scene.finished()
    with scene.validator.ledger.begin() as session:
        runs.changed_run(session, scene.run_id).review = "fail"
    scene.ask("accept")
    assert scene.row.review == "pass" and voids(scene) == set()


def test_void_ends_the_run_by_the_operator(scene: Scene) -> None:
    done = scene.finished().ask("void")
    assert (done.receipt.blast_radius.outcome_after, done.receipt.blast_radius.coverage_after) == ("void", "0/1")
    result = close(scene, "operator")
    assert (result.outcome, result.outcome_reason, scene.row.status) == ("void", "operator", "error")


@pytest.mark.parametrize("steps", range(4))
def test_until_the_close_verbs_reach_a_run_in_any_status(scene: Scene, steps: int) -> None:
    """AT-O1: what is refused depends on holds, cases and passes, not on the word of the status."""
    scene.advance(*("initial_scoring_skipped", "final_scoring_triggered", "final_scoring_completed")[:steps])
    scene.play(24)
    refused = {verb: scene.refused(verb, "lead:24" if verb in ("rerun", "skip", "accept") else None) for verb in VERBS}
    assert [verb for verb, why in refused.items() if why] == ["accept"]
    assert [leaf["verb"] for leaf in leaves(scene)] == ["hold", "release", "rerun", "skip", "void"]


@pytest.mark.parametrize("verb", VERBS)
def test_after_the_close_no_verb_reaches_the_run_but_its_receipts_are_still_answered(scene: Scene, verb: str) -> None:
    scene.finished().advance("initial_scoring_skipped", "final_scoring_triggered")
    first = scene.ask("skip", "lead:24", request_id="r1")
    assert close(scene).outcome == "closed_partial"
    assert "closed" in scene.refused(verb, "lead:24" if verb in ("skip", "rerun", "accept") else None)
    assert scene.ask("skip", "lead:24", request_id="r1") == first


def test_a_rerun_of_a_lead_is_the_next_generation_and_lifts_a_skip(scene: Scene) -> None:
    scene.finished().ask("skip", "lead:24")
    again = scene.ask("rerun", "pass:era5_final,lead:24")
    assert (again.leads, again.generation, again.hotkey, again.commitment) == ((24,), 3, None, None)
    scene.score(scene.lead(24), generation=again.generation)
    assert decide_close(scene.rules, scene.record).coverage == 1
    scene.play(24, running=True, generation=3)
    assert "still runs" in scene.refused("rerun", "lead:24")
    scene.ask("skip", "lead:24")
    assert set(decide_close(scene.rules, scene.record).void) == set(scene.lead(24))


def test_a_rerun_of_a_failed_miner_verifies_its_commitment_once_more_and_only_once(scene: Scene) -> None:
    """AT-O4: root, roster and deadline are those of the first time."""
    before = scene.row
    again = scene.finished().ask("rerun", f"miner:{BOB.hotkey}")
    assert (again.leads, again.hotkey, again.generation) == ((0, *LEADS), BOB.hotkey, 2)
    assert again.commitment is not None and again.commitment.in_time
    with scene.validator.ledger.begin() as session:
        rows = {row.hotkey: row.status for row in rows_of(session, MinerResponseRow, scene.run_id)}
        assert rows[BOB.hotkey] == "verifying_manifest"
        failed = {"run_id": scene.run_id, "hotkey": BOB.hotkey, "to": "verification_error", "at": LATER}
        responses.advance_response(session, ResponseStep.model_validate(failed))
    assert "once more already" in scene.refused("rerun", f"miner:{BOB.hotkey}")
    kept = ("roster_digest", "commit_deadline", "call_digest", "close_by")
    assert [getattr(scene.row, name) for name in kept] == [getattr(before, name) for name in kept]


def test_a_rerun_needs_no_other_root_roster_or_deadline(scene: Scene) -> None:
    scene.finished()
    for scope, why in (
        (f"miner:{CAROL.hotkey}", "committed to nothing in time"),
        (f"miner:{'9' * 64}", "not on the roster"),
    ):
        assert why in scene.refused("rerun", scope)
    assert "close_by is past" in scene.refused("rerun", "lead:24", at=scene.opened.run.close_by)
    assert "for all miners or for none" in scene.refused("skip", f"miner:{ALICE.hotkey}")


@pytest.mark.parametrize(
    ("statuses", "scope", "to"),
    [
        (["initial_scoring_failed"], "pass:day1_qc", "initial_scoring_queued"),
        (["initial_scoring_failed"], "lead:24", "initial_scoring_failed"),
        (
            ["initial_scoring_skipped", "final_scoring_triggered", "final_scoring_failed"],
            "lead:24",
            "final_scoring_triggered",
        ),
    ],
)
def test_a_rerun_takes_a_failed_status_back(scene: Scene, statuses: list[str], scope: str, to: str) -> None:
    scene.finished().advance(*statuses).ask("rerun", scope)
    assert scene.row.status == to


def test_one_request_ten_times_at_once_is_one_intervention(scene: Scene) -> None:
    """AT-O3, AT-X2."""
    scene.finished()
    with ThreadPoolExecutor(10) as pool:
        answers = [pool.submit(scene.ask, "skip", "lead:24", request_id="r1") for _ in range(10)]
        assert len({answer.result().model_dump_json() for answer in answers}) == 1
    assert (len(kept(scene)), len(leaves(scene)), voids(scene)) == (1, 1, set(scene.lead(24)))
    assert "stands for another intervention" in scene.refused("skip", "lead:48", request_id="r1")


def test_without_a_request_id_the_attempts_of_one_activity_are_one_request(scene: Scene) -> None:
    assert scene.ask("hold", at=LATER) == scene.ask("hold", at=LATER)
    assert scene.refused("hold", at=LATER + HOUR) == "the run is held already"


@pytest.mark.parametrize("verb", ["skip", "accept", "void"])
def test_two_persons_act_together_within_the_hour(scene: Scene, verb: str) -> None:
    """AT-O6."""
    scene.two_person, scope = True, None if verb == "void" else "lead:240"
    scene.score(key for key in scene.keys if key.lead_time_hours < 240)
    states = [
        scene.ask(verb, scope, actor=actor, at=LATER + after * HOUR).receipt.state
        for actor, after in (("alice", 0), ("alice", 0.5), ("bob", 1.6))
    ]
    assert states == ["awaits_second_actor"] * 3 and not voids(scene) and not leaves(scene)
    assert not scene.refused("hold")
    done = scene.ask(verb, scope, actor="alice", at=LATER + 2.5 * HOUR)
    assert (done.acts, done.receipt.state) == (True, "acted") and voids(scene)
    assert [leaf["verb"] for leaf in leaves(scene)] == ["hold", verb]


@pytest.mark.parametrize(
    "wrong",
    [
        {"actor": ""},
        {"actor": "a\nb"},
        {"reason": " "},
        {"reason": "x" * 501},
        {"request_id": ""},
        {"request_id": "a b"},
    ],
)
def test_an_intervention_names_its_actor_and_its_reason(wrong: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        Intervention.model_validate({"actor": "alice", "reason": "a reason", **wrong})


def test_what_was_done_never_changes(scene: Scene) -> None:
    scene.ask("hold")
    with pytest.raises(LedgerConflict), scene.validator.ledger.begin() as session:
        interventions_of(session, scene.run_id)[0].reason = "another"
