"""The head of the transparency log in a file that no backup of the ledger replaces."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from adapters.ledger.log import newest_leaf, root
from adapters.ledger.tables.commitments import LogLeafRow
from adapters.object_store import storage_faults, sync_folder
from protocol.canonical import J
from weather.faults import ConfigurationInvalid, LedgerConflict


def keep_head(file: Path, last: LogLeafRow) -> None:
    """Write the head of the tree that ends with this leaf, unless a later one is there."""
    with storage_faults(), os.fdopen(os.open(file, os.O_RDWR | os.O_CREAT, 0o600), "r+b") as opened:
        fcntl.flock(opened, fcntl.LOCK_EX)
        if _head(file, opened.read())["tree_size"] <= last.leaf_index:
            opened.seek(0)
            opened.write(J(_head_at(last)))
            opened.flush()
            os.fsync(opened.fileno())
            sync_folder(file.parent)


def require_head(session: Session, file: Path) -> None:
    """Refuse a ledger without the head in the file; then keep its own.

    Raises:
        LedgerConflict: receipts may have left that this ledger would deny.
    """
    with storage_faults():
        known = _head(file, file.read_bytes() if file.exists() else b"")
    last, newest = session.get(LogLeafRow, known["tree_size"] - 1), newest_leaf(session)
    if known["tree_size"] and (last is None or _head_at(last) != known):
        found = _head_at(newest) if newest else "no leaf"
        refusal = f"the ledger lacks leaves whose receipts may have left; restore a newer one, or move {file} away"
        raise LedgerConflict(refusal, found=found, expected=known)
    if newest:
        keep_head(file, newest)


def _head_at(last: LogLeafRow) -> dict[str, Any]:
    return {"root_hash": root(last.peaks), "tree_size": last.leaf_index + 1}


def _head(file: Path, text: bytes) -> dict[str, Any]:
    try:
        return json.loads(text or b'{"tree_size": 0}')
    except ValueError as error:
        raise ConfigurationInvalid(f"{file} is no head of a log", found=repr(text[:100])) from error
