import os
import socket
import sqlite3
from pathlib import Path

import pytest

from starter.ports import LOOPBACK, free_ports, require_free
from starter.state_folder import open_state_folder
from weather.faults import ConfigurationInvalid, PrerequisiteMissing


def refusal(root: Path, version: str = "1.9.1") -> str:
    with pytest.raises(ConfigurationInvalid) as raised:
        open_state_folder(root, version)
    return str(raised.value)


def with_database(root: Path, name: str, version: str) -> Path:
    open_state_folder(root, version).close()
    with sqlite3.connect(root / name) as database:
        database.execute("CREATE TABLE t (x)")
        database.executemany("INSERT INTO t VALUES (?)", [("x" * 500,)] * 100)
    database.close()
    return root / name


def test_a_folder_is_made_and_opened_again(tmp_path: Path) -> None:
    for _ in range(2):
        folder = open_state_folder(tmp_path / "a" / "state", "1.9.1")
        assert folder.root.joinpath("temporal.version").read_text() == "1.9.1\n"
        assert folder.root.joinpath("keys").stat().st_mode & 0o777 == 0o700
        assert {path.name for path in folder.root.iterdir() if path.is_dir()} == {
            *("objects", "miners", "keys", "logs", "pids")
        }
        folder.close()


def test_one_launcher_a_folder(tmp_path: Path) -> None:
    folder = open_state_folder(tmp_path, "1.9.1")
    assert "in use by another launcher" in refusal(tmp_path)
    shared = os.dup(folder.lock)
    folder.close()
    assert "in use by another launcher" in refusal(tmp_path)
    os.close(shared)
    open_state_folder(tmp_path, "1.9.1").close()


@pytest.mark.parametrize("root", ["file", "file/below", "/proc/nothing"])
def test_what_is_no_folder_or_cannot_be_written_is_refused(tmp_path: Path, root: str) -> None:
    (tmp_path / "file").touch()
    assert "name another one" in refusal(tmp_path / root)


@pytest.mark.parametrize("name", ["temporal.db", "ledger.db"])
def test_a_damaged_database_is_refused_and_the_lock_is_free_again(tmp_path: Path, name: str) -> None:
    database = with_database(tmp_path, name, "1.9.1")
    sound = database.read_bytes()
    for damaged in (b"not a database" * 100, sound[:4096] + b"\xff" * 4096 + sound[8192:]):
        database.write_bytes(damaged)
        assert f"{name} is not sound" in refusal(tmp_path)
    database.write_bytes(sound)
    open_state_folder(tmp_path, "1.9.1").close()


def test_a_file_of_a_server_that_is_not_a_tested_predecessor_is_refused(tmp_path: Path) -> None:
    with_database(tmp_path, "temporal.db", "1.5.1")
    assert "made by server 1.5.1, this one is 1.9.1" in refusal(tmp_path)
    assert (tmp_path / "temporal.version").read_text() == "1.5.1\n"
    (tmp_path / "temporal.version").unlink()
    assert "server unknown" in refusal(tmp_path)


def test_a_tested_upgrade_is_noted(tmp_path: Path) -> None:
    with_database(tmp_path, "temporal.db", "1.8.3")
    open_state_folder(tmp_path, "1.9.1").close()
    assert (tmp_path / "temporal.version").read_text() == "1.9.1\n"


def test_a_port_that_is_taken_is_named() -> None:
    with socket.create_server((LOOPBACK, 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PrerequisiteMissing, match=f"port {port} for the validator is taken"):
            require_free(port, "the validator")
    first, second = free_ports(2)
    assert first != second
    require_free(first, "the validator")
