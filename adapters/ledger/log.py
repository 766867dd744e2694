"""The transparency log: leaves without gaps, each with the roots from which the tree goes on.

`peaks` of a leaf are the roots of the complete subtrees of the tree that ends with it, largest first: so neither
a new root nor the proof of the newest leaf reads any other row.
"""

from __future__ import annotations

import fcntl
import json
import os
from datetime import datetime
from itertools import accumulate, takewhile
from pathlib import Path
from typing import Any

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from adapters.ledger.tables.commitments import LogLeafRow
from adapters.object_store import storage_faults, sync_folder
from protocol.canonical import J
from protocol.identity import PrivateKey
from protocol.log import MAX_BYTES, MAX_ENTRIES, SignedHead
from protocol.merkle import Span, consistency_spans, inclusion_spans, root_of
from protocol.receipt import LogEntry, TreeHead, entry_hash
from weather.faults import ConfigurationInvalid, LedgerConflict

NEWEST = "newest leaf"


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
    last = newest_leaf(session)
    index, peaks = (0, []) if last is None else (last.leaf_index + 1, last.peaks)
    row = LogLeafRow(leaf_index=index, run_id=entry.run_id, kind=entry.kind, key=key, entry=entry.value)
    row.leaf_hash, row.peaks = entry_hash(entry).hex(), grown(index, peaks, entry_hash(entry))
    session.add(row)
    session.flush()
    session.info[NEWEST] = row
    return row


def newest_leaf(session: Session) -> LogLeafRow | None:
    """The leaf with which the log ends."""
    return session.scalars(select(LogLeafRow).order_by(LogLeafRow.leaf_index.desc()).limit(1)).first()


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


def signed_head(session: Session, key: PrivateKey, network: str, at: datetime) -> SignedHead:
    """The log as it is now, signed."""
    last = newest_leaf(session)
    size, root_hash = (0, root_of([]).hex()) if last is None else (last.leaf_index + 1, root(last.peaks))
    head = TreeHead(network=network, validator=key.hotkey, tree_size=size, root_hash=root_hash, recorded_at=at)
    return SignedHead(tree_head=head, tree_head_signature=head.sign(key))


def entries(session: Session, start: int, end: int) -> list[dict[str, Any]]:
    """Entries from one leaf to another, both included; fewer if the log or the limits of an answer end before."""
    last = min(end, start + MAX_ENTRIES - 1, _size(session) - 1)
    if start > last:
        return []
    chosen = select(LogLeafRow.entry).where(LogLeafRow.leaf_index.between(start, last))
    found = list(session.scalars(chosen.order_by(LogLeafRow.leaf_index)))
    sizes = accumulate(len(json.dumps(entry)) for entry in found)
    return found[: sum(1 for _ in takewhile(lambda size: size < MAX_BYTES - 1_024, sizes))]


def entry_of(session: Session, run_id: str, kind: str) -> dict[str, Any] | None:
    """The one entry of a kind that a run has once."""
    return session.scalars(select(LogLeafRow.entry).filter_by(run_id=run_id, kind=kind)).one_or_none()


def inclusion_proof(session: Session, leaf_index: int, tree_size: int) -> list[str]:
    """Proof of a leaf in the log as it was with so many leaves.

    Raises:
        ValueError: the log never had so many leaves, or no such leaf among them.
    """
    return _roots(session, tree_size, inclusion_spans(leaf_index, tree_size))


def consistency_proof(session: Session, first: int, second: int) -> list[str]:
    """Proof that the log of `second` leaves appends to the one of `first`.

    Raises:
        ValueError: the log never had so many leaves, or they are in the wrong order.
    """
    return _roots(session, second, consistency_spans(first, second))


def grown(size: int, peaks: list[str], leaf: bytes) -> list[str]:
    """Peaks of a tree of this size after one more leaf."""
    node, rest = leaf, list(peaks)
    while size & 1:
        node, size = root_of([bytes.fromhex(rest.pop()), node]), size >> 1
    return [*rest, node.hex()]


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


def _roots(session: Session, tree_size: int, spans: list[Span]) -> list[str]:
    if tree_size > (size := _size(session)):
        raise ValueError(f"the log has {size} leaves, not {tree_size}")
    return [_span_root(session, begin, end) for begin, end in spans]


def _size(session: Session) -> int:
    return session.scalars(select(func.coalesce(func.max(LogLeafRow.leaf_index) + 1, 0))).one()


def _span_root(session: Session, begin: int, end: int) -> str:
    """Root of a subtree: the peaks inside it of the tree that ends one leaf before, then that leaf."""
    leaf, inside = session.get_one(LogLeafRow, end - 1), end - 1 - begin
    peaks = session.get_one(LogLeafRow, end - 2).peaks[-inside.bit_count() :] if inside else []
    return root(grown(inside, peaks, bytes.fromhex(leaf.leaf_hash)))


def _hold(session: Session) -> None:
    """Let nobody else append until this transaction ends; SQLite has one writer anyhow."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("LOCK TABLE log_leaves IN EXCLUSIVE MODE"))


def _leaf_of(session: Session, entry: LogEntry, key: str) -> LogLeafRow | None:
    same = {"run_id": entry.run_id, "kind": entry.kind, "key": key}
    return session.scalars(select(LogLeafRow).filter_by(**same)).one_or_none()


def _timeless(entry: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in entry.items() if name != "recorded_at"}


def _head_at(last: LogLeafRow) -> dict[str, Any]:
    return {"root_hash": root(last.peaks), "tree_size": last.leaf_index + 1}


def _head(file: Path, text: bytes) -> dict[str, Any]:
    try:
        return json.loads(text or b'{"tree_size": 0}')
    except ValueError as error:
        raise ConfigurationInvalid(f"{file} is no head of a log", found=repr(text[:100])) from error
