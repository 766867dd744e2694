"""What all documents of the protocol have in common: closed, frozen, strict, with one spelling of each value."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal, Self
from uuid import UUID

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    StringConstraints,
    ValidationError,
)

from protocol.canonical import MAX_INTEGER, J, load_json_strict
from protocol.names import format_stamp, format_time, parse_run_id, parse_stamp, parse_time

MOST_ERRORS_READ = 100

_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


def _instant(parse: Callable[[str], datetime], write: Callable[[datetime], str]) -> BeforeValidator:
    def read(value: object) -> datetime:
        if isinstance(value, datetime):
            return parse(write(value))
        if isinstance(value, str):
            return parse(value)
        raise ValueError(f"{value!r} is not an instant")

    return BeforeValidator(read)


def _a_run_id(value: str) -> str:
    parse_run_id(value)
    return value


def _a_uuid(version: int) -> AfterValidator:
    def check(value: str) -> str:
        if str(UUID(value)) != value or UUID(value).version != version:
            raise ValueError(f"{value} is not a UUID of version {version} in lower case")
        return value

    return AfterValidator(check)


Protocol = Literal["barograph/1"]
Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Hotkey = Digest
Signature = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{128}$")]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$")]
Word = Annotated[str, StringConstraints(pattern=r"^[ -~]{1,1024}$")]
Nonce = Annotated[str, _a_uuid(4)]
JobId = Annotated[str, _a_uuid(5)]
RunId = Annotated[str, AfterValidator(_a_run_id)]
Count = Annotated[int, Field(ge=0, le=MAX_INTEGER)]
Time = Annotated[
    datetime,
    _instant(parse_time, format_time),
    PlainSerializer(format_time, return_type=str, when_used="json"),
]
Stamp = Annotated[
    datetime,
    _instant(parse_stamp, format_stamp),
    PlainSerializer(format_stamp, return_type=str, when_used="json"),
]


class Document(BaseModel):
    """A frozen value that refuses unknown, missing and mistyped members; a default serves the writer, never the reader.

    Attributes:
        max_bytes: greatest body that is read.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, serialize_by_alias=True, validate_by_name=True)
    max_bytes: ClassVar[int] = 65_536

    @classmethod
    def parse(cls, body: bytes) -> Self:
        """Read bytes of another party; ValueError above `max_bytes`, for no strict JSON, or for another document."""
        return cls.of_value(load_json_strict(body, cls.max_bytes, signed=False))

    @classmethod
    def of_value(cls, value: object) -> Self:
        """Read parsed JSON; ValueError for another document or spelling, or for NUL, which no ledger can hold."""
        text = json.dumps(value)
        if _NUL.search(text):
            raise ValueError(f"text with NUL in {cls.__name__}")
        try:
            document = cls.model_validate_json(text)
        except ValidationError as error:
            raise ValueError(f"not a {cls.__name__}: {_told(error)}") from None
        if document.value != value:
            raise ValueError(f"a member of {cls.__name__} is missing or in another spelling")
        return document

    @property
    def value(self) -> dict[str, Any]:
        """The members as JSON values."""
        return self.model_dump(mode="json")

    @property
    def canonical(self) -> bytes:
        """RFC 8785 bytes of the members; ValueError if they may not be signed."""
        return J(self.value)

    @property
    def body(self) -> bytes:
        """JSON bytes to send."""
        return json.dumps(self.value, separators=(",", ":")).encode()


def _told(error: ValidationError) -> str:
    """The first error; of more than can be read, only how many there are."""
    count = error.error_count()
    if count > MOST_ERRORS_READ:
        return f"{count} errors"
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place = ".".join(str(step) for step in first["loc"])[:200]
    return f"{place or 'whole'}: {first['msg']}" + (f", and {count - 1} more" if count > 1 else "")
