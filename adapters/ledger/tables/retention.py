"""Objects of the store that nothing needs any more."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger
from sqlalchemy.orm import Mapped, mapped_column

from adapters.ledger.tables.base import Row


class TombstoneRow(Row):
    __tablename__ = "object_tombstones"

    key: Mapped[str] = mapped_column(primary_key=True)
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    marked_at: Mapped[datetime]
