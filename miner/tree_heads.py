"""Tree heads that validators gave with their receipts, and what convicts a validator."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import CheckConstraint, Column, Integer, MetaData, Row, Select, String, Table, Text, select, update
from sqlalchemy.dialects.sqlite import insert

from miner.database import Database
from protocol.log import SignedHead

State = Literal["new", "proved", "broken"]

_metadata = MetaData()
_heads = Table(
    "weather_miner_tree_heads",
    _metadata,
    Column("validator", String(64), primary_key=True),
    Column("tree_size", Integer, primary_key=True),
    Column("root_hash", String(64), primary_key=True),
    Column("head", Text, nullable=False),
    Column("state", String(8), nullable=False),
    CheckConstraint("state IN ('new', 'proved', 'broken')", name="state_known"),
)
_convictions = Table(
    "weather_miner_convictions",
    _metadata,
    Column("validator", String(64), primary_key=True),
    Column("older", Text, primary_key=True),
    Column("newer", Text, primary_key=True),
    Column("broken", Text, nullable=False),
    Column("proof", Text, nullable=False),
    Column("found_at", String(40), nullable=False),
)


@dataclass(frozen=True)
class Conviction:
    """Two heads that a validator signed and that no honest log can have, with the proof that it gave."""

    validator: str
    broken: str
    older: SignedHead
    newer: SignedHead
    proof: tuple[str, ...]
    found_at: datetime

    @property
    def told(self) -> dict[str, object]:
        """In short, for people."""
        sizes = (self.older.tree_head.tree_size, self.newer.tree_head.tree_size)
        return {"validator": self.validator, "broken": self.broken, "leaves": sizes, "found_at": self.found_at}


class TreeHeads:
    """Tables in the host's SQLite file; blocking."""

    def __init__(self, database: Database) -> None:
        self._database = database
        database.make(_metadata)

    def see(self, validator: str, head: SignedHead) -> None:
        """Keep a head; it is new until it is compared."""
        row = _key(validator, head) | {"head": head.body.decode(), "state": "new"}
        with self._database.begin() as connection:
            connection.execute(insert(_heads).values(row).on_conflict_do_nothing())

    def new(self, validator: str) -> list[SignedHead]:
        """Heads that are not compared yet, the smallest first."""
        chosen = select(_heads.c.head).where(_heads.c.validator == validator, _heads.c.state == "new")
        return [_head(row) for row in self._rows(chosen.order_by(_heads.c.tree_size))]

    def largest(self, validator: str) -> SignedHead | None:
        """The largest head of a log that was only appended to so far."""
        chosen = select(_heads.c.head).where(_heads.c.validator == validator, _heads.c.state == "proved")
        return next((_head(row) for row in self._rows(chosen.order_by(_heads.c.tree_size.desc()).limit(1))), None)

    def judge(self, validator: str, head: SignedHead, state: State) -> None:
        """What came of comparing a new head."""
        key = _key(validator, head)
        same = [_heads.c[name] == value for name, value in key.items()]
        with self._database.begin() as connection:
            connection.execute(update(_heads).where(*same).values(state=state))

    def convict(self, conviction: Conviction) -> None:
        """Keep the evidence; once."""
        row = {
            "validator": conviction.validator,
            "broken": conviction.broken,
            "older": conviction.older.body.decode(),
            "newer": conviction.newer.body.decode(),
            "proof": json.dumps(conviction.proof),
            "found_at": conviction.found_at.isoformat(),
        }
        with self._database.begin() as connection:
            connection.execute(insert(_convictions).values(row).on_conflict_do_nothing())

    def convictions(self) -> list[Conviction]:
        """All evidence, the oldest first."""
        return [_conviction(row) for row in self._rows(select(_convictions).order_by(_convictions.c.found_at))]

    def told(self) -> list[dict[str, object]]:
        """The largest head of each validator, in short, for people."""
        validators = self._rows(select(_heads.c.validator).distinct().order_by(_heads.c.validator))
        largest = {row.validator: self.largest(row.validator) for row in validators}
        heads = {validator: head.tree_head for validator, head in largest.items() if head}
        return [
            {"validator": validator, "leaves": head.tree_size, "root": head.root_hash, "signed_at": head.recorded_at}
            for validator, head in heads.items()
        ]

    def _rows(self, chosen: Select[Any]) -> list[Row[Any]]:
        with self._database.begin() as connection:
            return list(connection.execute(chosen))


def _key(validator: str, head: SignedHead) -> dict[str, str | int]:
    tree_head = head.tree_head
    return {"validator": validator, "tree_size": tree_head.tree_size, "root_hash": tree_head.root_hash}


def _head(row: Row[Any]) -> SignedHead:
    return SignedHead.parse(row.head.encode())


def _conviction(row: Row[Any]) -> Conviction:
    return Conviction(
        validator=row.validator,
        broken=row.broken,
        older=SignedHead.parse(row.older.encode()),
        newer=SignedHead.parse(row.newer.encode()),
        proof=tuple(json.loads(row.proof)),
        found_at=datetime.fromisoformat(row.found_at),
    )
