"""AT-X2: under each natural key the first row stands, whatever comes later; verbs are in `operator/test_verbs.py`."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from datetime import timedelta
from typing import Any, NamedTuple

import pytest
from sqlalchemy import inspect, select
from sqlalchemy.orm import Session

from adapters.ledger import outbox
from adapters.ledger.audits import draw_secret
from adapters.ledger.commitments import record_commitment
from adapters.ledger.engine import Ledger
from adapters.ledger.facts import record_facts, record_faults
from adapters.ledger.jobs import advance_job
from adapters.ledger.log import append_leaf
from adapters.ledger.publications import plan
from adapters.ledger.responses import advance_response
from adapters.ledger.roster import freeze_roster
from adapters.ledger.rows import insert_if_absent
from adapters.ledger.runs import changed_run, close_run, open_run
from adapters.ledger.tables.base import Row
from adapters.ledger.tables.commitments import CommitmentRow, LogLeafRow, ReceiptRow, SecretRow
from adapters.ledger.tables.runs import ForecastRunRow, MinerResponseRow, OutboxRow, RosterRow, ScoringJobRow
from adapters.ledger.tables.scores import FaultRecordRow, LeadScoreRow, RoundScoreRow, ScoreFactRow
from adapters.ledger.tables.weights import WeightPublicationRow, WeightVectorRow
from adapters.ledger.values import JobStep, ResponseStep, RoundScore
from tests.activities.ledger.builders import (
    MINER,
    OPENED,
    RUN,
    T0,
    VALIDATOR,
    closing,
    entry,
    fact,
    fault,
    new_run,
    prepare,
    received,
)
from tests.activities.ledger.test_commitments import OPENING
from tests.activities.ledger.test_weights import EPOCH, vector
from weather.faults import LedgerConflict

Write = Callable[[Session, Any], object]
CASE = "run_id hotkey pass lead_hours variable level region"


class Kept(NamedTuple):
    """How a row comes to be, from a first content and from another one under its key, which may be refused."""

    key: str
    write: Write
    first: Any
    other: Any
    refused: bool = True


def respond(session: Session, found: str) -> None:
    step = {"run_id": RUN, "hotkey": MINER.hotkey, "to": "received", "at": OPENED, "found": found}
    advance_response(session, ResponseStep.model_validate(step))


def begin(session: Session, minutes: int) -> None:
    step = {"run_id": RUN, "score_type": "day1_qc", "to": "queued", "at": OPENED + timedelta(minutes=minutes)}
    advance_job(session, JobStep.model_validate(step))


def end(session: Session, nano: int) -> None:
    scores = [RoundScore(hotkey=MINER.hotkey, score_nano=nano, rank=1)]
    close_run(session, RUN, closing(outcome="void", scores=scores, lead_scores={(MINER.hotkey, 24): nano}))


def publish(session: Session, input_digest: str) -> None:
    one = vector()
    one.input_digest = input_digest
    insert_if_absent(session, one, ["shares_digest"])
    plan(session, EPOCH, one, ["file"], T0)


def compute(session: Session, shares_digest: str) -> None:
    one = vector()
    one.shares_digest = shares_digest
    insert_if_absent(session, one, ["shares_digest"])


def commit(session: Session, root: str) -> None:
    record_commitment(session, VALIDATOR, received(root=root))


def tell(session: Session, body: dict[str, int]) -> None:
    outbox.enqueue(session, changed_run(session, RUN), "start_round", "1", body)


def log(session: Session, call_digest: str) -> None:
    append_leaf(session, OPENING.model_copy(update={"call_digest": call_digest}))


ROOTS, DIGESTS = ("5" * 64, "6" * 64), ("1" * 64, "2" * 64)
KEPT: dict[type[Row], Kept] = {
    ForecastRunRow: Kept("run_id", lambda s, grid: open_run(s, new_run(grid=grid)), "5p625", "0p25"),
    RosterRow: Kept(
        "run_id hotkey", lambda s, n: freeze_roster(s, RUN, [entry(MINER.hotkey, n)], "9" * 64), 0, 1, refused=False
    ),
    MinerResponseRow: Kept("run_id hotkey", respond, "a", "b", refused=False),
    CommitmentRow: Kept("run_id hotkey", commit, *ROOTS, refused=False),
    ReceiptRow: Kept("run_id hotkey commitment_digest", commit, *ROOTS, refused=False),
    LogLeafRow: Kept("leaf_index", log, *DIGESTS),
    RoundScoreRow: Kept("run_id hotkey", end, 5, 6, refused=False),
    LeadScoreRow: Kept("run_id hotkey pass lead_hours", end, 5, 6, refused=False),
    ScoreFactRow: Kept(
        f"{CASE} spec_digest truth_version generation", lambda s, score: record_facts(s, [fact(score=score)]), 0.2, 0.3
    ),
    FaultRecordRow: Kept(
        f"{CASE} generation",
        lambda s, code: record_faults(s, [fault(code=code, lead_hours=24)]),
        "ObjectAbsent",
        "DecodeFailed",
    ),
    ScoringJobRow: Kept("run_id score_type lead_hours generation", begin, 1, 2, refused=False),
    SecretRow: Kept("run_id purpose", lambda s, _: draw_secret(s, VALIDATOR, RUN), 0, 1, refused=False),
    OutboxRow: Kept("key", tell, {"a": 1}, {"a": 2}),
    WeightVectorRow: Kept("network input_digest", compute, *DIGESTS),
    WeightPublicationRow: Kept("network epoch sink", publish, *DIGESTS, refused=False),
}


def rows(ledger: Ledger, table: type[Row]) -> list[dict[str, Any]]:
    with ledger.read() as session:
        return [dict(row) for row in session.execute(select(table.__table__)).mappings()]


@pytest.mark.parametrize("table", KEPT, ids=lambda table: table.__tablename__)
def test_equal_content_is_the_same_row_and_other_content_changes_nothing(ledger: Ledger, table: type[Row]) -> None:
    kept = KEPT[table]
    with ledger.begin() as session:
        if table not in (ForecastRunRow, RosterRow):
            prepare(session, MINER.hotkey)
        elif table is RosterRow:
            open_run(session, new_run())
    for _ in range(2):
        with ledger.begin() as session:
            kept.write(session, kept.first)
    before = rows(ledger, table)
    assert len(before) == 1
    with pytest.raises(LedgerConflict) if kept.refused else nullcontext(), ledger.begin() as session:
        kept.write(session, kept.other)
    assert rows(ledger, table) == before


@pytest.mark.parametrize("table", KEPT, ids=lambda table: table.__tablename__)
def test_the_key_is_the_natural_one_and_has_no_holes(table: type[Row]) -> None:
    columns = inspect(table).primary_key
    assert {column.name for column in columns} == set(KEPT[table].key.split())
    assert not any(column.nullable for column in columns)
