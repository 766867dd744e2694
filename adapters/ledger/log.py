"""The transparency log: leaves without gaps, each with the roots from which the tree goes on.

`peaks` of a leaf are the roots of the complete subtrees of the tree that ends with it, largest first: so neither
a new root nor the proof of the newest leaf reads any other row.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from adapters.ledger.tables.commitments import LogLeafRow
from protocol.merkle import root_of
from protocol.receipt import LogEntry, entry_hash
from weather.faults import LedgerConflict


def append_leaf(session: Session, entry: LogEntry, key: str = "") -> LogLeafRow:
    """Append an entry; one of the same run, kind and key answers the stored leaf.

    Raises:
        LedgerConflict: the stored entry differs in more than `recorded_at`.
    """
    _hold(session)
    stored = _leaf_of(session, entry, key)
    if stored is not None:
        if _timeless(stored.entry) != _timeless(entry.value):
            raise LedgerConflict("the log holds another entry", found=entry.value, expected=stored.entry)
        return stored
    last = session.scalars(select(LogLeafRow).order_by(LogLeafRow.leaf_index.desc()).limit(1)).first()
    index, peaks = (0, []) if last is None else (last.leaf_index + 1, last.peaks)
    row = LogLeafRow(leaf_index=index, run_id=entry.run_id, kind=entry.kind, key=key, entry=entry.value)
    row.leaf_hash, row.peaks = entry_hash(entry).hex(), grown(index, peaks, entry_hash(entry))
    session.add(row)
    session.flush()
    return row


def root(peaks: list[str]) -> str:
    """Root of the tree that has these peaks."""
    *larger, node = [bytes.fromhex(peak) for peak in peaks]
    for peak in reversed(larger):
        node = root_of([peak, node])
    return node.hex()


def last_leaf_proof(session: Session, row: LogLeafRow) -> list[str]:
    """Inclusion proof of this leaf in the tree that ends with it."""
    before = session.get(LogLeafRow, row.leaf_index - 1)
    return [] if before is None else before.peaks[::-1]


def grown(size: int, peaks: list[str], leaf: bytes) -> list[str]:
    """Peaks of a tree of this size after one more leaf."""
    node, rest = leaf, list(peaks)
    while size & 1:
        node, size = root_of([bytes.fromhex(rest.pop()), node]), size >> 1
    return [*rest, node.hex()]


def _hold(session: Session) -> None:
    """Let nobody else append until this transaction ends; SQLite has one writer anyhow."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("LOCK TABLE log_leaves IN EXCLUSIVE MODE"))


def _leaf_of(session: Session, entry: LogEntry, key: str) -> LogLeafRow | None:
    same = {"run_id": entry.run_id, "kind": entry.kind, "key": key}
    return session.scalars(select(LogLeafRow).filter_by(**same)).one_or_none()


def _timeless(entry: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in entry.items() if name != "recorded_at"}
