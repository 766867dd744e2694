"""Whether a validator's log only grows: asked at every receipt; heads are kept, and what convicts it is too."""

from __future__ import annotations

import asyncio
import logging
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import CheckConstraint, Dialect, Text, select
from sqlalchemy.orm import Mapped, Session, mapped_column
from sqlalchemy.types import TypeDecorator

from adapters import log_client
from adapters.ledger.rows import insert_if_absent
from miner.jobs import Jobs, MinerRow
from miner.premises import Premises
from protocol.log import SignedHead, growth_broken
from protocol.receipt import CommitmentAnswer
from weather.faults import EgressDown, MinerFault

State = Literal["new", "proved", "broken"]
log = logging.getLogger("barograph.miner.log")


class HeadText(TypeDecorator[SignedHead]):
    """A head as it was sent."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: SignedHead | None, dialect: Dialect) -> str | None:
        return None if value is None else value.body.decode()

    def process_result_value(self, value: str | None, dialect: Dialect) -> SignedHead | None:
        return None if value is None else SignedHead.parse(value.encode())


class SeenHead(MinerRow):
    """A head that came with a receipt; it is new until it is compared."""

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


def watch_log(validator: str, receipt: CommitmentAnswer, premises: Premises) -> None:
    """Compare the head of a receipt, and those that could not be compared before, with the largest one known."""
    head = SignedHead(tree_head=receipt.tree_head, tree_head_signature=receipt.tree_head_signature)
    of_validator = (SeenHead.validator == validator) & (SeenHead.state == "new")
    with premises.jobs.begin() as session:
        key = validator, head.tree_head.tree_size, head.tree_head.root_hash
        insert_if_absent(session, SeenHead(*key, head))
        new = session.scalars(select(SeenHead).where(of_validator).order_by(SeenHead.tree_size)).all()
    for seen in new:
        try:
            _compare(seen, premises)
        except (EgressDown, MinerFault) as silent:
            log.warning("validator %s gives no consistency proof, it is asked again: %s", validator, silent)
            return


def _compare(seen: SeenHead, premises: Premises) -> None:
    with premises.jobs.begin() as session:
        known = largest(session, seen.validator)
    older, newer = sorted((known or seen.head, seen.head), key=_size)
    proof = _proof(seen.validator, older, newer, premises)
    broken = growth_broken(older, newer, proof)
    with premises.jobs.begin() as session:
        session.add(seen)
        seen.state = "broken" if broken else "proved"
        if broken:
            found = Conviction(seen.validator, older, newer, broken, list(proof), premises.clock.now())
            insert_if_absent(session, found)
    if broken:
        sizes = _size(older), _size(newer)
        log.critical("validator %s is convicted: %s of %d and %d leaves", seen.validator, broken, *sizes)


def _proof(validator: str, older: SignedHead, newer: SignedHead, premises: Premises) -> tuple[str, ...]:
    if _size(older) == _size(newer):
        return ()
    base_url = premises.registry.validator(validator).base_url
    answer = asyncio.run(log_client.consistency(premises.egress, base_url, _size(older), _size(newer)))
    return answer.consistency_proof


def largest(session: Session, validator: str) -> SignedHead | None:
    """The largest head of a log that was only appended to so far."""
    chosen = select(SeenHead.head).where(SeenHead.validator == validator, SeenHead.state == "proved")
    return session.scalar(chosen.order_by(SeenHead.tree_size.desc()).limit(1))


def convictions(session: Session) -> list[Conviction]:
    """All evidence, the oldest first."""
    return list(session.scalars(select(Conviction).order_by(Conviction.found_at)))


def told(jobs: Jobs) -> dict[str, list[dict[str, Any]]]:
    """In short, for people: the largest head of each validator, and who is convicted."""
    with jobs.begin() as session:
        validators = session.scalars(select(SeenHead.validator).distinct().order_by(SeenHead.validator)).all()
        heads = [found.tree_head for one in validators if (found := largest(session, one))]
        found = convictions(session)
    return {
        "logs": [
            {"validator": one.validator, "leaves": one.tree_size, "root": one.root_hash, "signed_at": one.recorded_at}
            for one in heads
        ],
        "convictions": [
            {
                "validator": one.validator,
                "broken": one.broken,
                "leaves": (_size(one.older), _size(one.newer)),
                "found_at": one.found_at,
            }
            for one in found
        ],
    }


def _size(head: SignedHead) -> int:
    return head.tree_head.tree_size
