"""Opening, roster, commit window and seal of a run, on both databases."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from activities import documents
from activities.messages.run import AdvanceRun, ForecastRunInput, OpenCommitWindow, Step
from adapters.catalog import Catalog
from adapters.ledger import commitments, facts, runs
from adapters.ledger.tables.commitments import LogLeafRow
from adapters.ledger.values import ReceivedCommitment
from protocol.commitment import Commitment
from protocol.names import job_id, parse_time
from protocol.registry import RosterEntry
from tests.activities.ledger.builders import events_of
from tests.activities.validator.world import (
    ALICE,
    BOB,
    CAROL,
    GRID,
    HINDCAST,
    LIVE,
    OPENED,
    SOURCE,
    T0,
    VALIDATOR,
    Opened,
    Validator,
    do,
    registry,
)
from weather.faults import CommitmentLate, ConfigurationInvalid, LedgerConflict

FINAL_LEADS = tuple(range(24, 241, 24))


def status(validator: Validator, run_id: str) -> str:
    with validator.ledger.read() as session:
        run = runs.get_run(session, run_id)
        assert run is not None
        return run.status


def commit(validator: Validator, opened: Opened, key, at, root: str = "5" * 64):
    offer = opened.offer(key, root)
    received = ReceivedCommitment(
        commitment=Commitment.parse(offer.commitment), signature=offer.signature, received_at=at, channel="push"
    )
    with validator.ledger.begin() as session:
        return commitments.record_commitment(session, VALIDATOR, received)


def leaves(validator: Validator) -> list[dict]:
    with validator.ledger.read() as session:
        return [row.entry for row in session.query(LogLeafRow).order_by(LogLeafRow.leaf_index)]


def codes(validator: Validator, run_id: str) -> dict[int, tuple[str, str, str]]:
    with validator.ledger.read() as session:
        return {f.lead_hours: (f.code, f.effect, f.hotkey) for f in facts.faults_of(session, run_id)}


def test_what_an_input_leaves_out_is_resolved_from_the_settings(validator: Validator) -> None:
    run = do(validator.opening.open_run, LIVE)
    assert (run.network, run.run_id, run.purpose, run.grid) == ("test", "forecast/2026-11-22T18Z", "live", GRID)
    assert run.layout_digest == Catalog().layout(GRID).digest
    assert run.score_spec_digest == Catalog().rules(GRID).digest
    assert (run.day1_lead_hours, run.final_lead_hours) == ((6, 12), FINAL_LEADS)
    assert run.close_by == T0 + timedelta(seconds=2_181_600)
    assert run.truth_due(240) == T0 + timedelta(hours=240 + 126)


def test_a_hindcast_is_kept_open_for_the_whole_truth_budget_from_now(validator: Validator) -> None:
    validator.clock.advance(timedelta(days=60))
    run = do(validator.opening.open_run, HINDCAST)
    assert (run.run_id, run.purpose) == ("campaign/demo/forecast/2026-11-22T18Z", "hindcast")
    assert run.close_by == validator.clock.now() + timedelta(days=10)


def test_nothing_moves_the_close_of_a_live_run(validator: Validator) -> None:
    validator.clock.advance(timedelta(days=60))
    assert do(validator.opening.open_run, LIVE).close_by == T0 + timedelta(seconds=2_181_600)


def test_a_run_that_is_opened_again_is_the_first_one(validator: Validator) -> None:
    first = do(validator.opening.open_run, LIVE)
    validator.clock.advance(timedelta(hours=1))
    restarted = validator.with_defaults(truth_budget=timedelta(days=3), seal_grace=timedelta(0))
    assert do(restarted.opening.open_run, LIVE) == first


@pytest.mark.parametrize(
    ("changes", "found", "expected"),
    [
        ({"init_time": T0 + timedelta(hours=6)}, "2026-11-23T00:00:00Z", "at most 2026-11-22T21:30:00Z"),
        ({"grid": "0p1"}, "0p1", "0p25, 5p625, 5p625-small"),
        ({"network": "main"}, "main", "test"),
        ({"score_spec": "9" * 64}, "9" * 64, Catalog().rules(GRID).digest),
    ],
    ids=["future", "grid", "network", "score spec"],
)
def test_an_input_that_does_not_hold_is_refused_with_what_was_expected(
    validator: Validator, changes: dict, found: str, expected: str
) -> None:
    with pytest.raises(ConfigurationInvalid) as refused:
        do(validator.opening.open_run, LIVE.model_copy(update=changes))
    assert (refused.value.found, refused.value.expected) == (found, expected)


def test_a_grid_of_ones_own_is_data(validator: Validator, tmp_path: Path) -> None:
    for kind, document in (("layout", Catalog().layout(GRID).canonical), ("rules", Catalog().rules(GRID).canonical)):
        (tmp_path / f"mine.{kind}.json").write_bytes(document.replace(b'"5p625-small"', b'"mine"'))
    validator.catalog = Catalog(tmp_path)
    assert do(validator.opening.open_run, LIVE.model_copy(update={"grid": "mine"})).grid == "mine"


def test_a_hindcast_without_campaign_and_an_odd_hour_are_no_input() -> None:
    with pytest.raises(ValueError, match="a hindcast names its campaign"):
        ForecastRunInput(init_time=T0, purpose="hindcast")
    with pytest.raises(ValueError, match="00, 06, 12 or 18 UTC"):
        ForecastRunInput(init_time=T0 + timedelta(hours=1))


def test_the_first_roster_stands_although_the_registry_changes(validator: Validator) -> None:
    """AT-I1."""
    run = do(validator.opening.open_run, LIVE)
    first = do(validator.opening.freeze_roster, run)
    validator.miners = (ALICE, BOB, CAROL)
    assert do(validator.opening.freeze_roster, run) == first
    assert [miner.hotkey for miner in first.miners] == sorted([ALICE.hotkey, BOB.hotkey])
    assert first.roster_digest == registry(ALICE, BOB).roster().digest
    kept = documents.roster(validator.store, first.entries)
    assert kept[ALICE.hotkey] == RosterEntry(
        hotkey=ALICE.hotkey, uid=None, name="miner-0", base_url="https://miner.example/0", tls_sha256=None
    )


def test_an_empty_roster_stands_too(validator: Validator) -> None:
    validator.miners = ()
    run = do(validator.opening.open_run, LIVE)
    assert do(validator.opening.freeze_roster, run).miners == ()
    validator.miners = (ALICE,)
    assert do(validator.opening.freeze_roster, run).miners == ()


def test_the_hotkeys_above_the_limit_of_an_address_are_not_on_the_roster(validator: Validator) -> None:
    run = do(validator.opening.open_run, LIVE)
    validator.addresses = {"miner.example": {"10.0.0.1"}}
    crowded = validator.with_defaults(hotkeys_per_address=1)
    first, second = (do(crowded.opening.freeze_roster, run) for _ in range(2))
    assert first == second
    assert len(first.miners) == 1
    (excluded,) = {ALICE.hotkey, BOB.hotkey} - {miner.hotkey for miner in first.miners}
    assert codes(validator, run.run_id) == {-1: ("RosterExcluded", "W", excluded)}


def test_a_live_window_ends_after_the_wait_and_the_call_says_so(validator: Validator) -> None:
    opened = validator.open()
    call = documents.call(validator.store, opened.call.sha256)
    assert opened.window.requested_at == call.requested_at == OPENED
    assert opened.window.commit_deadline == call.commit_deadline == OPENED + timedelta(hours=1)
    assert opened.window.first_lead_hours == call.first_scored_lead_hours == 6
    assert call.job_id == job_id("test", opened.run.run_id, VALIDATOR.hotkey)
    assert (call.forecast_step_hours, call.inference_steps) == (6, 40)
    assert call.retain_until == T0 + timedelta(hours=240 + 126 + 72)
    assert codes(validator, opened.run.run_id) == {}


def test_a_window_never_reaches_the_first_scored_valid_time(validator: Validator) -> None:
    validator.clock.advance(timedelta(hours=2))
    opened = validator.open()
    assert opened.window.commit_deadline == T0 + timedelta(hours=6) - timedelta(seconds=1)


def test_a_hindcast_window_is_only_the_wait(validator: Validator) -> None:
    validator.clock.advance(timedelta(days=60))
    opened = validator.with_defaults(wait=timedelta(seconds=30)).open(HINDCAST)
    assert opened.window.commit_deadline == validator.clock.now() + timedelta(seconds=30)
    assert opened.window.first_lead_hours == 6


def test_leads_that_a_late_opening_lost_are_void_for_all_by_us(validator: Validator) -> None:
    validator.clock.advance(timedelta(hours=9))
    opened = validator.open()
    assert opened.window.first_lead_hours == 24
    assert codes(validator, opened.run.run_id) == {6: ("RunLate", "V", "*"), 12: ("RunLate", "V", "*")}


def test_leads_that_late_inputs_lost_are_void_for_all_by_the_source(validator: Validator) -> None:
    run = do(validator.opening.open_run, LIVE)
    roster = do(validator.opening.freeze_roster, run)
    validator.clock.advance(timedelta(hours=3))
    request = OpenCommitWindow(run=run, inputs=validator.inputs(), roster_digest=roster.roster_digest)
    assert do(validator.opening.open_commit_window, request).first_lead_hours == 12
    assert codes(validator, run.run_id) == {6: ("InputsLate", "V", "*")}


def test_a_run_that_no_lead_is_left_to_has_no_call(validator: Validator) -> None:
    validator.clock.advance(timedelta(days=11))
    run = do(validator.opening.open_run, LIVE)
    request = OpenCommitWindow(run=run, inputs=validator.inputs(), roster_digest="0" * 64)
    for _ in range(2):
        window = do(validator.opening.open_commit_window, request)
        assert (window.call, window.first_lead_hours) == (None, None)
    assert codes(validator, run.run_id) == dict.fromkeys((6, 12, *FINAL_LEADS), ("RunLate", "V", "*"))
    assert leaves(validator) == []


def test_the_first_window_stands_and_is_logged_once(validator: Validator) -> None:
    opened = validator.open()
    validator.clock.advance(timedelta(minutes=30))
    assert validator.open().window == opened.window
    (entry,) = leaves(validator)
    assert (entry["kind"], entry["roster_digest"]) == ("run_opened", opened.roster.roster_digest)
    assert entry["call_digest"] == documents.call(validator.store, opened.call.sha256).call_digest
    assert parse_time(entry["commit_deadline"]) == opened.window.commit_deadline


def test_the_first_window_stands_although_settings_and_inputs_have_changed(validator: Validator) -> None:
    opened = validator.open()
    restarted = validator.with_defaults(wait=timedelta(minutes=5), min_window=timedelta(hours=9))
    other = restarted.inputs(SOURCE.model_copy(update={"offset": 7}))
    request = OpenCommitWindow(run=opened.run, inputs=other, roster_digest=opened.roster.roster_digest)
    assert do(restarted.opening.open_commit_window, request) == opened.window
    assert codes(validator, opened.run.run_id) == {}


def test_the_seal_answers_what_stood_in_time_and_late(validator: Validator) -> None:
    opened = validator.open()
    deadline = opened.window.commit_deadline
    commit(validator, opened, ALICE, deadline)
    commit(validator, opened, BOB, deadline + timedelta(milliseconds=1))
    sealed = do(validator.runs.seal_run, Step(run_id=opened.run.run_id, at=deadline + timedelta(minutes=1)))
    stood = documents.get_model(validator.store, documents.SealedCommitments, sealed.commitments.sha256).root
    assert sealed.accepted == 1
    assert {hotkey: one.in_time for hotkey, one in stood.items()} == {ALICE.hotkey: True, BOB.hotkey: False}
    assert documents.commitment(validator.store, stood[ALICE.hotkey].commitment) == opened.offer(ALICE)


def test_after_the_seal_no_commitment_is_taken(validator: Validator) -> None:
    opened = validator.open()
    seal = Step(run_id=opened.run.run_id, at=opened.window.commit_deadline)
    first = do(validator.runs.seal_run, seal)
    with pytest.raises(CommitmentLate):
        commit(validator, opened, ALICE, opened.window.commit_deadline)
    assert do(validator.runs.seal_run, seal) == first


def test_a_run_that_is_started_again_late_seals_and_advances_over_what_is_done(validator: Validator) -> None:
    opened = validator.open()
    seal = Step(run_id=opened.run.run_id, at=opened.window.commit_deadline)
    steps = [
        AdvanceRun(run_id=opened.run.run_id, to=to, reason="first", at=T0)
        for to in ("initial_scoring_skipped", "final_scoring_triggered")
    ]
    first = do(validator.runs.seal_run, seal)
    for step in steps:
        do(validator.runs.advance_run, step)
    assert do(validator.runs.seal_run, seal) == first
    for step in steps:
        do(validator.runs.advance_run, step)
    assert status(validator, opened.run.run_id) == "final_scoring_triggered"


def test_a_step_that_was_never_taken_and_is_not_legal_is_a_conflict(validator: Validator) -> None:
    opened = validator.open()
    with pytest.raises(LedgerConflict):
        do(
            validator.runs.advance_run,
            AdvanceRun(run_id=opened.run.run_id, to="final_scoring_triggered", reason="", at=T0),
        )


def test_a_cancelled_run_leaves_its_row_and_tells_of_it_once(validator: Validator) -> None:
    run = validator.open().run
    cancel = Step(run_id=run.run_id, at=OPENED)
    for _ in range(2):
        do(validator.runs.cancel_run, cancel)
    with validator.ledger.read() as session:
        row = runs.get_run(session, run.run_id)
        told = [event.type for event in events_of(session, run.run_id)]
    assert row is not None and row.status == "pending"
    assert told.count("io.barograph.run.cancelled") == 1
