from __future__ import annotations

from adapters.ledger.commitments import record_commitment
from adapters.ledger.engine import Ledger
from adapters.ledger.facts import record_facts, record_faults
from adapters.ledger.responses import advance_response
from adapters.ledger.runs import close_run
from adapters.ledger.values import ResponseStep, RoundScore
from adapters.ledger.views import board_rows, faults_by_miner, run_counts
from tests.activities.ledger.builders import MINER, OPENED, RUN, VALIDATOR, closing, fact, fault, prepare, received

SECOND, ABSENT = "2" * 64, "0" * 64


def test_the_board_lists_miners_by_rank_and_the_unranked_last(ledger: Ledger) -> None:
    scores = [
        RoundScore(hotkey=ABSENT, score_nano=0, rank=None, code="HindcastDeclined"),
        RoundScore(hotkey=SECOND, score_nano=10, rank=2),
        RoundScore(hotkey=MINER.hotkey, score_nano=20, rank=1),
    ]
    leads = {(SECOND, lead): lead for lead in (24, 48)}
    with ledger.begin() as session:
        prepare(session, MINER.hotkey, SECOND, ABSENT)
        record_commitment(session, VALIDATOR, received())
        close_run(session, RUN, closing(outcome="void", reason="coverage", scores=scores, lead_scores=leads))
    with ledger.read() as session:
        first, second, absent = board_rows(session, RUN)
    assert (first.rank, first.name) == (1, "miner-0")
    assert second.lead_scores == {("era5_final", 24): 24, ("era5_final", 48): 48}
    assert (absent.rank, absent.code) == (None, "HindcastDeclined")


def test_a_summary_counts_what_the_ledger_holds(ledger: Ledger) -> None:
    with ledger.begin() as session:
        prepare(session, MINER.hotkey, SECOND)
        record_commitment(session, VALIDATOR, received())
        record_facts(session, [fact(), fact(lead_hours=48)])
        record_faults(session, [fault(hotkey=SECOND)])
        advance_response(session, ResponseStep(run_id=RUN, hotkey=SECOND, to="received", at=OPENED))
    with ledger.read() as session:
        counts = run_counts(session, RUN)
    assert counts == {"miners": 2, "responses": {"received": 1}, "commitments": 1, "facts": 2, "faults": 1}


def test_faults_are_grouped_by_miner(ledger: Ledger) -> None:
    void = {"hotkey": "*", "code": "DiskFull", "cause": "platform", "effect": "V"}
    with ledger.begin() as session:
        prepare(session)
        record_faults(session, [fault(), fault(lead_hours=24), fault(**void)])
        grouped = faults_by_miner(session, RUN)
    assert {hotkey: len(faults) for hotkey, faults in grouped.items()} == {MINER.hotkey: 2, "*": 1}
