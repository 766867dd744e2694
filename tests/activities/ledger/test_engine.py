from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing as closed
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from sqlalchemy import select, text

from adapters.ledger.engine import Ledger, address, revisions, upgrade
from adapters.ledger.runs import get_run, open_run
from adapters.ledger.tables.runs import ForecastRunRow
from tests.activities.ledger.builders import OPENED, RUN, T0, new_run
from weather.faults import ConfigurationInvalid, DiskFull, LedgerConflict, LedgerUnavailable, PrerequisiteMissing


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


@pytest.fixture
def on_file(path: Path) -> Iterator[Ledger]:
    upgrade(f"sqlite:///{path}")
    with Ledger(f"sqlite:///{path}") as ledger:
        yield ledger


def test_a_transaction_is_kept_as_a_whole(ledger: Ledger) -> None:
    with ledger.begin() as session:
        open_run(session, new_run())
    with ledger.read() as session:
        assert get_run(session, RUN) is not None


def test_a_failed_transaction_leaves_nothing(ledger: Ledger) -> None:
    with pytest.raises(RuntimeError), ledger.begin() as session:
        open_run(session, new_run())
        raise RuntimeError
    with ledger.read() as session:
        assert get_run(session, RUN) is None


def test_a_database_without_schema_is_a_missing_prerequisite(ledger_url: str) -> None:
    with (
        Ledger(ledger_url) as ledger,
        pytest.raises(PrerequisiteMissing, match=r"barograph db upgrade.*no schema"),
        ledger.begin(),
    ):
        pass


def test_a_database_of_another_revision_is_a_missing_prerequisite(ledger_url: str) -> None:
    upgrade(ledger_url)
    with Ledger(ledger_url) as ledger:
        with ledger.begin() as session:
            session.execute(text("UPDATE alembic_version SET version_num = 'other'"))
        with Ledger(ledger_url) as another, pytest.raises(PrerequisiteMissing) as refused, another.begin():
            pass
    assert (refused.value.found, refused.value.expected) == ("other", revisions(ledger_url)[1])


def test_times_come_back_as_the_same_instant_in_utc(ledger: Ledger) -> None:
    elsewhere = OPENED.astimezone(timezone(timedelta(hours=-7)))
    with ledger.begin() as session:
        open_run(session, new_run(opened_at=elsewhere))
    with ledger.read() as session:
        stored = session.scalars(select(ForecastRunRow.opened_at)).one()
    assert stored == OPENED
    assert stored.utcoffset() == timedelta(0)


def test_a_time_without_a_zone_is_refused(ledger: Ledger) -> None:
    with ledger.read() as session, pytest.raises(Exception, match="time without a zone"):
        session.scalars(select(ForecastRunRow).where(ForecastRunRow.init_time == datetime(2026, 11, 22))).all()


def test_a_constraint_that_does_not_hold_is_a_conflict(ledger: Ledger) -> None:
    with pytest.raises(LedgerConflict, match="refuses the row"), ledger.begin() as session:
        run = open_run(session, new_run())
        run.outcome = "closed"


@pytest.mark.parametrize(
    "content", [b"this is no database, but long enough to look at" * 100, b"SQLite format 3\0junk"]
)
def test_a_corrupt_file_is_named(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with (
        Ledger(f"sqlite:///{path}") as ledger,
        pytest.raises(LedgerUnavailable, match=rf"{path} cannot be used: file is not a database"),
        ledger.begin(),
    ):
        pass


def test_a_page_that_went_bad_is_named(path: Path, on_file: Ledger) -> None:
    with on_file.begin() as session:
        open_run(session, new_run())
    on_file.close()
    raw = bytearray(path.read_bytes())
    raw[4096:] = b"\xff" * (len(raw) - 4096)
    path.write_bytes(raw)
    with Ledger(f"sqlite:///{path}") as ledger, pytest.raises(LedgerUnavailable, match=str(path)), ledger.begin() as s:
        get_run(s, RUN)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(LedgerUnavailable, match=r"nowhere/ledger\.db cannot be used"):
        upgrade(f"sqlite:///{tmp_path}/nowhere/ledger.db")


def test_a_locked_file_is_unavailable(path: Path, on_file: Ledger) -> None:
    with on_file.read():
        pass
    with closed(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(LedgerUnavailable, match="locked"), on_file.read() as session:
            session.execute(text("PRAGMA busy_timeout = 1"))
            session.execute(text("DELETE FROM weather_scoring_jobs"))


def test_readers_wait_for_no_writer(path: Path, on_file: Ledger) -> None:
    with on_file.begin() as writer:
        open_run(writer, new_run())
        with on_file.read() as reader:
            assert get_run(reader, RUN) is None


def test_a_full_disk_is_told_apart(on_file: Ledger) -> None:
    with pytest.raises(DiskFull, match="no space left"), on_file.begin() as session:
        session.execute(text("PRAGMA max_page_count = 1"))
        open_run(session, new_run(config={"text": "x" * 5_000_000}))


def test_an_unreachable_database_is_named_without_its_password() -> None:
    url = "postgresql://keeper:hunter2@127.0.0.1:1/ledger?password=hunter3"
    with Ledger(url) as ledger, pytest.raises(LedgerUnavailable) as refused, ledger.begin():
        pass
    assert "postgresql://127.0.0.1:1/ledger" in str(refused.value)
    assert "hunter" not in str(refused.value)
    assert "keeper" not in address(url)


@pytest.mark.parametrize("url", ["mysql://x/y", "no url", "sqlite://"])
def test_other_addresses_are_refused(url: str) -> None:
    with pytest.raises(ConfigurationInvalid):
        Ledger(url)


def test_the_journal_survives_a_crash_of_the_machine(on_file: Ledger) -> None:
    with on_file.read() as session:
        settings = [session.scalar(text(f"PRAGMA {name}")) for name in ("journal_mode", "synchronous", "foreign_keys")]
    assert settings == ["wal", 2, 1]


def test_init_time_is_stored_exactly(ledger: Ledger) -> None:
    with ledger.begin() as session:
        open_run(session, new_run())
    with ledger.read() as session:
        assert session.scalars(select(ForecastRunRow).where(ForecastRunRow.init_time == T0)).one().run_id == RUN
