from __future__ import annotations

import random
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from adapters.ledger.engine import Ledger, upgrade
from adapters.ledger.facts import record_facts, record_faults
from adapters.ledger.runs import advance_run, close_run, open_run
from adapters.ledger.values import RoundScore
from adapters.ledger.views import ledger_digest
from tests.activities.ledger.builders import MINER, RUN, closing, fact, fault, new_run, prepare
from tests.activities.ledger.test_runs import TO_THE_END

OTHER = "3" * 64
SCORES = [RoundScore(hotkey=MINER.hotkey, score_nano=2, rank=1), RoundScore(hotkey=OTHER, score_nano=1, rank=2)]


def play(url: str, seed: int, **changes: Any) -> str:
    """One run, its rows in an order and at times that depend on the seed."""
    later, shuffled = timedelta(seconds=seed), random.Random(seed)
    facts = [fact(lead_hours=lead, hotkey=key) for lead in (24, 48, 72) for key in (MINER.hotkey, OTHER)]
    facts[0] = facts[0].model_copy(update=changes.pop("fact", {}))
    facts = [one.model_copy(update={"scored_at": one.scored_at + later}) for one in facts]
    faults = [fault(lead_hours=lead, found=str(seed), recorded_at=fault().recorded_at + later) for lead in (96, 120)]
    scores = list(SCORES)
    for rows in (facts, faults, scores):
        shuffled.shuffle(rows)
    end = closing(**({"scores": scores, "closed_at": closing().closed_at + later} | changes))
    upgrade(url)
    with Ledger(url) as ledger:
        with ledger.begin() as session:
            open_run(session, new_run(opened_at=new_run().opened_at + later))
            prepare(session, MINER.hotkey, OTHER)
        for one in facts:
            with ledger.begin() as session:
                record_facts(session, [one])
        with ledger.begin() as session:
            record_faults(session, faults)
            for status in TO_THE_END:
                advance_run(session, RUN, status, f"seed {seed}", new_run().opened_at + later)
            close_run(session, RUN, end)
        with ledger.read() as session:
            return ledger_digest(session, RUN)


@pytest.fixture
def first(tmp_path: Path) -> str:
    return play(f"sqlite:///{tmp_path / 'first.db'}", 0)


@pytest.mark.parametrize("seed", [1, 2])
def test_neither_order_nor_times_nor_database_change_the_digest(ledger_url: str, first: str, seed: int) -> None:
    assert play(ledger_url, seed) == first


@pytest.mark.parametrize(
    "changes",
    [
        {"coverage": "7/10"},
        {"outcome": "closed_partial", "reason": "partial"},
        {"scores": [*SCORES[:1], SCORES[1].model_copy(update={"score_nano": 0})]},
        {"lead_scores": {}},
        {"fact": {"score": 0.5}},
    ],
)
def test_each_part_of_the_result_changes_the_digest(tmp_path: Path, first: str, changes: dict) -> None:
    assert play(f"sqlite:///{tmp_path / 'second.db'}", 0, **changes) != first
