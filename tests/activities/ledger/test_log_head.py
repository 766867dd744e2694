"""A ledger that would deny receipts is refused: the newest head of its log is kept apart from it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from adapters.ledger import log
from adapters.ledger.engine import Ledger
from tests.activities.ledger.builders import prepare
from tests.activities.ledger.test_log import entry
from weather.faults import ConfigurationInvalid, LedgerConflict, StoreUnavailable


def append(ledger: Ledger, *numbers: int) -> None:
    with ledger.begin() as session:
        for number in numbers:
            log.append_leaf(session, entry(number), str(number))


def kept_size(head: Path) -> int:
    return json.loads(head.read_bytes())["tree_size"]


@pytest.fixture
def head(tmp_path: Path) -> Path:
    return tmp_path / "keys" / "log-head"


@pytest.fixture
def kept(migrated_url: str, head: Path) -> Iterator[Ledger]:
    """A ledger with a run and three leaves whose head is kept."""
    head.parent.mkdir()
    with Ledger(migrated_url, head) as ledger:
        ledger.require_log_head()
        with ledger.begin() as session:
            prepare(session)
        assert not head.exists()
        append(ledger, 0, 1, 2)
        yield ledger


def test_one_that_goes_on_is_let_in_and_its_head_only_grows(kept: Ledger, migrated_url: str, head: Path) -> None:
    append(kept, 3)
    append(kept, 1)
    assert kept_size(head) == 4
    with Ledger(migrated_url) as unkept:
        append(unkept, 4)
    assert kept_size(head) == 4
    kept.require_log_head()
    assert kept_size(head) == 5


@pytest.mark.parametrize("migrated_url", ["sqlite"], indirect=True)
def test_one_that_lost_leaves_is_refused_even_if_it_has_others_since(kept: Ledger, head: Path, tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "ledger.db") as now, sqlite3.connect(tmp_path / "backup.db") as backup:
        now.backup(backup)
    append(kept, 3, 4)
    url = f"sqlite:///{tmp_path / 'backup.db'}"
    for size in (3, 6):
        with Ledger(url, head) as restored, pytest.raises(LedgerConflict, match="restore a newer one") as refused:
            restored.require_log_head()
        found, expected = str(refused.value.found), str(refused.value.expected)
        assert f"'tree_size': {size}" in found and "'tree_size': 5" in expected
        with Ledger(url) as unkept:
            append(unkept, 7, 8, 9)
    head.unlink()
    with Ledger(url, head) as accepted:
        accepted.require_log_head()
    assert kept_size(head) == 6


def test_a_head_that_cannot_be_kept_is_our_fault_and_is_kept_by_the_next_transaction(kept: Ledger, head: Path) -> None:
    aside = head.parent.rename(head.parent.with_name("gone"))
    with pytest.raises(StoreUnavailable, match="log-head"):
        append(kept, 3)
    aside.rename(head.parent)
    append(kept, 3)
    assert kept_size(head) == 4


def test_a_file_that_is_no_head_is_named(kept: Ledger, head: Path) -> None:
    head.write_bytes(b"{")
    with pytest.raises(ConfigurationInvalid, match="log-head is no head of a log"):
        kept.require_log_head()
