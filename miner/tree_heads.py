"""Tree heads that validators gave with their receipts, and what convicts a validator."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from sqlalchemy import CheckConstraint, Dialect, Text, select
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.types import TypeDecorator

from adapters.ledger.rows import insert_if_absent
from miner.database import Database, MinerRow
from protocol.log import SignedHead

State = Literal["new", "proved", "broken"]


class HeadText(TypeDecorator[SignedHead]):
    """A head as it was sent."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: SignedHead | None, dialect: Dialect) -> str | None:
        return None if value is None else value.body.decode()

    def process_result_value(self, value: str | None, dialect: Dialect) -> SignedHead | None:
        return None if value is None else SignedHead.parse(value.encode())


class SeenHead(MinerRow):
    """A head is new until it is compared."""

    __tablename__ = "weather_miner_tree_heads"
    __table_args__ = (CheckConstraint("state IN ('new', 'proved', 'broken')", name="state_known"),)

    validator: Mapped[str] = mapped_column(primary_key=True)
    tree_size: Mapped[int] = mapped_column(primary_key=True)
    root_hash: Mapped[str] = mapped_column(primary_key=True)
    head: Mapped[SignedHead] = mapped_column(HeadText)
    state: Mapped[State] = mapped_column(Text, default="new")


class Conviction(MinerRow):
    """Two heads that a validator signed and that no honest log can have, with the proof that it gave."""

    __tablename__ = "weather_miner_convictions"

    validator: Mapped[str] = mapped_column(primary_key=True)
    older: Mapped[SignedHead] = mapped_column(HeadText, primary_key=True)
    newer: Mapped[SignedHead] = mapped_column(HeadText, primary_key=True)
    broken: Mapped[str]
    proof: Mapped[list[str]]
    found_at: Mapped[datetime]

    @property
    def told(self) -> dict[str, object]:
        """In short, for people."""
        sizes = (self.older.tree_head.tree_size, self.newer.tree_head.tree_size)
        return {"validator": self.validator, "broken": self.broken, "leaves": sizes, "found_at": self.found_at}


class TreeHeads:
    """Both tables; blocking."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def see(self, validator: str, head: SignedHead) -> None:
        """Keep a head."""
        with self._database.begin() as session:
            insert_if_absent(session, SeenHead(*_key(validator, head), head), ())

    def new(self, validator: str) -> list[SignedHead]:
        """Heads that are not compared yet, the smallest first."""
        chosen = select(SeenHead.head).where(SeenHead.validator == validator, SeenHead.state == "new")
        with self._database.begin() as session:
            return list(session.scalars(chosen.order_by(SeenHead.tree_size)))

    def largest(self, validator: str) -> SignedHead | None:
        """The largest head of a log that was only appended to so far."""
        chosen = select(SeenHead.head).where(SeenHead.validator == validator, SeenHead.state == "proved")
        with self._database.begin() as session:
            return session.scalar(chosen.order_by(SeenHead.tree_size.desc()).limit(1))

    def judge(self, validator: str, head: SignedHead, state: State) -> None:
        """What came of comparing a new head."""
        with self._database.begin() as session:
            session.get_one(SeenHead, _key(validator, head)).state = state

    def convict(self, conviction: Conviction) -> None:
        """Keep the evidence; once."""
        with self._database.begin() as session:
            insert_if_absent(session, conviction, ())

    def convictions(self) -> list[Conviction]:
        """All evidence, the oldest first."""
        with self._database.begin() as session:
            return list(session.scalars(select(Conviction).order_by(Conviction.found_at)))

    def told(self) -> list[dict[str, object]]:
        """The largest head of each validator, in short, for people."""
        with self._database.begin() as session:
            validators = session.scalars(select(SeenHead.validator).distinct().order_by(SeenHead.validator)).all()
        heads = [head.tree_head for head in map(self.largest, validators) if head]
        return [
            {"validator": one.validator, "leaves": one.tree_size, "root": one.root_hash, "signed_at": one.recorded_at}
            for one in heads
        ]


def _key(validator: str, head: SignedHead) -> tuple[str, int, str]:
    return validator, head.tree_head.tree_size, head.tree_head.root_hash
