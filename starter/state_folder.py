"""The state folder of an embedded stack: its layout, its lock, and what is refused before anything is started."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from weather.faults import ConfigurationInvalid

SUBFOLDERS = ("objects", "miners", "keys", "logs", "pids")
SUCCESSORS = frozenset({("1.8.3", "1.9.1")})


@dataclass(frozen=True)
class StateFolder:
    """`lock` is the descriptor of the locked file; it is free again when everyone who shares it has closed it."""

    root: Path
    lock: int

    @property
    def temporal_database(self) -> Path:
        return self.root / "temporal.db"

    @property
    def ledger_url(self) -> str:
        return f"sqlite:///{self.root / 'ledger.db'}"

    @property
    def object_store_url(self) -> str:
        return (self.root / "objects").as_uri()

    def key_file(self, name: str) -> Path:
        return self.root / "keys" / f"{name}.key"

    def log_file(self, process: str) -> Path:
        return self.root / "logs" / f"{process}.log"

    def pid_file(self, process: str) -> Path:
        return self.root / "pids" / f"{process}.pid"

    def close(self) -> None:
        os.close(self.lock)


def open_state_folder(root: Path, server_version: str) -> StateFolder:
    """Made if it is not there, locked, and found sound; else refused, and the lock is free again."""
    folder = StateFolder(root.resolve(), _locked(root.resolve()))
    try:
        for name in ("temporal.db", "ledger.db"):
            _check_database(folder.root / name)
        _check_version(folder, server_version)
    except ConfigurationInvalid:
        folder.close()
        raise
    return folder


def _locked(root: Path) -> int:
    try:
        for name in SUBFOLDERS:
            (root / name).mkdir(parents=True, exist_ok=True)
        (root / "keys").chmod(0o700)
        lock = os.open(root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigurationInvalid(f"state folder {root} cannot be used: {error.strerror}; name another one") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(lock)
        raise ConfigurationInvalid(
            f"state folder {root} is in use by another launcher; stop it or name another one"
        ) from error
    return lock


def _check_database(path: Path) -> None:
    if not path.exists():
        return
    try:
        with closing(sqlite3.connect(path)) as database:
            found = database.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.Error as error:
        found = str(error)
    if found != "ok":
        raise ConfigurationInvalid(f"{path} is not sound: {found}; put a backup in its place or move it away")


def _check_version(folder: StateFolder, version: str) -> None:
    marker = folder.root / "temporal.version"
    if folder.temporal_database.exists():
        made_by = marker.read_text().strip() if marker.is_file() else "unknown"
        if made_by != version and (made_by, version) not in SUCCESSORS:
            raise ConfigurationInvalid(
                f"{folder.temporal_database} was made by server {made_by}, this one is {version}: the pair is not "
                "tested; install that version, or move the file away"
            )
    marker.write_text(f"{version}\n")
