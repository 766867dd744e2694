"""What all tables share: naming and column types.

Rows have the columns, keys and indexes of their tables; CHECK constraints and triggers stand in the migration only.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar

from sqlalchemy import DateTime, ForeignKey, MetaData, Text
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import DeclarativeBase, mapped_column
from sqlalchemy.types import TypeDecorator

from protocol.facts import level_word

Key = Annotated[str, mapped_column(primary_key=True)]
RunKey = Annotated[str, mapped_column(ForeignKey("weather_forecast_runs.run_id"), primary_key=True)]
NumberKey = Annotated[int, mapped_column(primary_key=True, autoincrement=False)]


class Instant(TypeDecorator[datetime]):
    """An aware UTC time; a naive one is refused."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is not None and value.tzinfo is None:
            raise ValueError(f"time without a zone: {value.isoformat()}")
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Json(TypeDecorator[Any]):
    """JSON as text with sorted members, so that equal values are equal text and floats keep their bits."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: object, dialect: Dialect) -> str:
        return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)

    def process_result_value(self, value: str | None, dialect: Dialect) -> object:
        return None if value is None else json.loads(value)


class Level(TypeDecorator[int]):
    """A level in hectopascal, written as a word: `surface` for 0, `*` for -1."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: int | None, dialect: Dialect) -> str | None:
        return None if value is None else level_word(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> int | None:
        return None if value is None else {"surface": 0, "*": -1}[value] if not value.isdigit() else int(value)


class Row(DeclarativeBase):
    """Root of all rows."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        str: Text,
        datetime: Instant,
        dict[str, Any]: Json,
        dict[str, str]: Json,
        dict[str, float]: Json,
        list[Any]: Json,
        list[str]: Json,
    }
