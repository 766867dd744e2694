"""What is needed stays, whatever else is removed: on SQLite and on PostgreSQL."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from sqlalchemy import update
from sqlalchemy.orm import Session
from temporalio.testing import ActivityEnvironment

from activities.messages.retention import Deleted, DeleteObjects, Marked, MarkUnreferenced
from activities.retention import LedgerRetention
from adapters.ledger.engine import Ledger
from adapters.ledger.responses import advance_response
from adapters.ledger.roster import freeze_roster
from adapters.ledger.tables.weights import WeightPublicationRow, WeightVectorRoundRow, WeightVectorRow
from adapters.ledger.values import ResponseStep
from adapters.object_store import ObjectStore
from tests.activities.ledger.builders import entry, set_window
from tests.activities.retention.ages import NOW, Past, days_ago, put_ago
from weather.fields import Field
from weather.grids import Grid

DIGEST, KEY = "a" * 64, "1" * 64
GRID = Grid("toy", 60_000_000, -60_000_000, 3, 0, 90_000_000, 4)
FIELD = Field.of(GRID, "2t", 0, NOW, np.full((3, 4), 280, np.float32))
WEIGHED = Past(200, 200, "closed", closed=180)


@dataclass(frozen=True)
class Weights:
    """A vector of a round that nothing else needs, and how far its publication is."""

    state: str

    def store(self, session: Session) -> None:
        WEIGHED.store(session)
        vector = {"network": "test", "input_digest": DIGEST}
        made = {"policy": "pareto_subsets", "version": 1, "head": 1, "computed_at": NOW}
        session.add(WeightVectorRow(**vector, **made, inputs={}, shares=[], shares_digest=DIGEST))
        session.flush()
        session.add(WeightVectorRoundRow(**vector, run_id=WEIGHED.run_id, outcome="closed"))
        session.add(WeightPublicationRow(**vector, epoch=1, sink="file", state="planned", updated_at=NOW))
        session.flush()
        for state in ("submitted", "committed", "confirmed")[: STATES.index(self.state)]:
            session.execute(update(WeightPublicationRow).values(state=state))
        if self.state == "missed":
            session.execute(update(WeightPublicationRow).values(state="missed", code="SinkRefused"))


STATES = ("planned", "submitted", "committed", "confirmed")
NEEDED: dict[str, tuple[list[Past | Weights], float]] = {
    "an open run, whatever its init time": ([Past(300, 190)], 189),
    "an open run, where clocks differ": ([Past(190, 190)], 190.5),
    "a run whose last final pass ended today": ([Past(25, 25, "closed")], 24),
    "a run that expects ERA5 instead of ERA5T": ([Past(155, 155, "closed_partial", closed=130)], 154),
    "a round whose weights are planned": ([Weights("planned")], 199),
    "a round whose weights are not revealed": ([Weights("committed")], 199),
    "the first of two open runs": ([Past(190, 190), Past(170, 170)], 189),
    "an open run, though a later run is void": ([Past(190, 190), Past(170, 170, "void")], 169),
    "a claim or a workflow that has no run": ([], 29),
    "a claim or a workflow older than all open runs": ([Past(5, 5)], 29),
}
UNNEEDED: dict[str, tuple[list[Past | Weights], float]] = {
    "no run at all": ([], 32),
    "a void run": ([Past(60, 60, "void")], 59),
    "a closed run whose truth is final": ([WEIGHED], 199),
    "a closed hindcast": ([Past(900, 60, "closed", campaign="history")], 59),
    "a round whose weights are confirmed": ([Weights("confirmed")], 199),
    "what was put before the first open run was opened": ([Past(900, 40, campaign="history")], 42),
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "objects"


def days(retention: LedgerRetention, *on: datetime, dry_run: bool = False) -> list[tuple[Marked, Deleted]]:
    """All pages of the removals of these days."""
    found = []
    for at in on:
        after: str | None = ""
        horizon = None
        while after is not None:
            env = ActivityEnvironment()
            mark = MarkUnreferenced(at=at, dry_run=dry_run, after=after, horizon=horizon)
            marked = env.run(retention.mark_unreferenced, mark)
            horizon, deleted = marked.horizon, Deleted(objects=marked.due, size_bytes=marked.due_bytes)
            if not dry_run:
                page = DeleteObjects(at=at, after=after, until=marked.until, horizon=horizon)
                deleted = ActivityEnvironment().run(retention.delete_objects, page)
            found.append((marked, deleted))
            after = marked.until
    return found


def stored(ledger: Ledger, past: Iterable[Past | Weights]) -> None:
    with ledger.begin() as session:
        for one in past:
            one.store(session)


def keys(store: ObjectStore) -> set[str]:
    return {one.key for one in store.listed("", 1000)}


@pytest.mark.parametrize("case", NEEDED)
def test_what_is_needed_is_never_marked(ledger: Ledger, store: ObjectStore, root: Path, case: str) -> None:
    past, age = NEEDED[case]
    stored(ledger, past)
    put_ago(store, root, age, lambda: store.put(b"needed"))
    ((marked, deleted),) = days(LedgerRetention(ledger, store), NOW)
    assert (marked.objects, marked.unneeded, deleted.objects) == (1, 0, 0)


@pytest.mark.parametrize("case", UNNEEDED)
def test_what_nothing_needs_is_deleted_after_a_week_of_grace(
    ledger: Ledger, store: ObjectStore, root: Path, case: str
) -> None:
    past, age = UNNEEDED[case]
    stored(ledger, past)
    put_ago(store, root, age, lambda: store.put(b"old"))
    put_ago(store, root, 1, lambda: store.put(b"new"))
    retention = LedgerRetention(ledger, store)
    first, early, late = days(retention, NOW, NOW + timedelta(days=6.9), NOW + timedelta(days=7))
    assert [(each[0].unneeded, each[0].due, each[1].objects) for each in (first, early)] == [(1, 0, 0)] * 2
    assert (late[0].due_bytes, late[1]) == (3, Deleted(objects=1, size_bytes=3))
    assert len(keys(store)) == 1


def test_what_a_row_of_the_ledger_names_stays(ledger: Ledger, store: ObjectStore, root: Path) -> None:
    put = {
        word: put_ago(store, root, 300, lambda word=word: store.put(word.encode()))
        for word in ("call", "bundle", "store")
    }
    digests = {word: key.removeprefix("bytes/") for word, key in put.items()}
    past = Past(290, 290, "closed", closed=260)
    step = ResponseStep(run_id=past.run_id, hotkey=KEY, to="received", at=NOW, manifest_digest=digests["store"])
    with ledger.begin() as session:
        past.store(session)
        freeze_roster(session, past.run_id, [entry(KEY)], DIGEST)
        set_window(session, past.run_id, call_document=digests["call"], bundle_digest=digests["bundle"])
        advance_response(session, step)
    put_ago(store, root, 300, lambda: store.put(b"chunk"))
    days(LedgerRetention(ledger, store), NOW, NOW + timedelta(days=8))
    assert keys(store) == set(put.values())


@pytest.mark.parametrize("again", ["put", "has"])
def test_who_needs_a_marked_object_again_takes_its_mark_away(
    ledger: Ledger, store: ObjectStore, root: Path, again: str
) -> None:
    key = put_ago(store, root, 60, lambda: store.put(b"shared"))
    retention = LedgerRetention(ledger, store)
    days(retention, NOW)
    assert store.put(b"shared") if again == "put" else store.has(key.removeprefix("bytes/"))
    page = DeleteObjects(at=NOW + timedelta(days=8), after="", until=None, horizon=days_ago(31))
    assert ActivityEnvironment().run(retention.delete_objects, page) == Deleted(objects=0, size_bytes=0)
    assert keys(store) == {key}


def test_what_is_unneeded_once_more_has_its_days_of_grace_once_more(
    ledger: Ledger, store: ObjectStore, root: Path
) -> None:
    retention = LedgerRetention(ledger, store)
    for number, age in enumerate((60, 1, 60)):
        put_ago(store, root, age, lambda: store.put(b"shared"))
        days(retention, NOW + timedelta(days=number))
    (early, late) = days(retention, NOW + timedelta(days=8), NOW + timedelta(days=9))
    assert (early[1].objects, late[1].objects) == (0, 1)


def test_a_lost_answer_deletes_nothing_twice_and_pages_meet(ledger: Ledger, store: ObjectStore, root: Path) -> None:
    for number in range(7):
        put_ago(store, root, 60, lambda number=number: store.put(b"%d" % number))
    retention = LedgerRetention(ledger, store, page=3)
    assert [marked.unneeded for marked, _ in days(retention, NOW)] == [3, 3, 1]
    whole = DeleteObjects(at=NOW + timedelta(days=7), after="", until=None, horizon=days_ago(31))
    removed = [ActivityEnvironment().run(retention.delete_objects, whole).objects for _ in range(2)]
    assert (removed, keys(store)) == ([7, 0], set())


def test_a_dry_run_tells_what_a_real_run_does_and_writes_nothing(
    ledger: Ledger, store: ObjectStore, root: Path
) -> None:
    for number in range(5):
        put_ago(store, root, 60, lambda number=number: store.put(b"x" * number))
    retention, later = LedgerRetention(ledger, store, page=2), NOW + timedelta(days=7)
    assert [deleted.objects for _, deleted in days(retention, NOW, later, dry_run=True)] == [0] * 6
    days(retention, NOW)
    told = days(retention, later, dry_run=True)
    assert len(keys(store)) == 5
    assert days(retention, later) == told and sum(deleted.size_bytes for _, deleted in told) == 10


@pytest.mark.parametrize("act", ["put", "put_field", "has", "delete"])
def test_deletion_and_a_put_of_the_same_object_wait_for_each_other(store: ObjectStore, root: Path, act: str) -> None:
    kind = "fields" if act == "put_field" else "bytes"
    key = put_ago(store, root, 60, lambda: store.put_field(FIELD) if kind == "fields" else store.put(b"raced"), kind)
    path, digest = root / kind / key.partition("/")[2][:2] / key.partition("/")[2], key.partition("/")[2]
    acts = {
        "put": lambda: store.put(b"raced"),
        "put_field": lambda: store.put_field(FIELD),
        "has": lambda: store.has(digest),
        "delete": lambda: store.delete(key, days_ago(31)),
    }
    answers: list[str | bool] = []
    with (path.parent / ".lock").open("ab") as other:
        fcntl.flock(other, fcntl.LOCK_SH if act == "delete" else fcntl.LOCK_EX)
        thread = Thread(target=lambda: answers.append(acts[act]()))
        thread.start()
        thread.join(0.1)
        assert thread.is_alive()
        os.utime(path) if act == "delete" else path.unlink()
    thread.join()
    assert path.exists() is (act != "has")
    assert answers == [digest if act.startswith("put") else False]
