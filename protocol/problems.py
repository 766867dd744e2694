"""Errors of HTTP answers as RFC 9457 documents, from a closed list of codes."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Self

from pydantic import StringConstraints, model_validator

from protocol.document import Document
from protocol.receipt import CommitmentAnswer

MEDIA_TYPE = "application/problem+json"
PROBLEMS: dict[str, tuple[int, str]] = {
    "Malformed": (400, "The body is not what the protocol says"),
    "Unauthenticated": (401, "The token does not prove who asks"),
    "Replayed": (401, "The token was used before"),
    "TokenExpired": (401, "The token is not valid at this time"),
    "Forbidden": (403, "Whoever asks may not do this"),
    "UnknownJob": (404, "There is no such job"),
    "JobConflict": (409, "Another job has this id"),
    "CommitmentExists": (409, "The first commitment stands"),
    "TooLarge": (413, "The body is above its limit"),
    "NotAcceptable": (415, "The media type is not the one agreed"),
    "Unsupported": (422, "This cannot be done here"),
    "BindingMismatch": (422, "The commitment is not bound to this call and sender"),
    "RateLimited": (429, "Too many requests"),
    "InternalError": (500, "A fault of this side"),
    "NotReady": (503, "This side cannot serve yet"),
}
COMMITMENT_PROBLEMS = {
    "CommitmentMalformed": "Malformed",
    "CommitmentBindingMismatch": "BindingMismatch",
    "InputDigestMismatch": "BindingMismatch",
    "CommitmentSignatureInvalid": "BindingMismatch",
}
_URN = "urn:barograph:problem:"

Text = Annotated[str, StringConstraints(max_length=500)]


class Refusal(Exception):
    """A request is answered with a problem; its code is one of `PROBLEMS`."""

    def __init__(self, code: str, detail: str, *, found: object = None, expected: object = None) -> None:
        """Keep what was found and what was expected beside the sentence for people."""
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail
        self.found = found
        self.expected = expected

    def problem(self, instance: str, answer: CommitmentAnswer | None = None) -> Problem:
        """The document to answer with, what is too long cut; the answer is that of `CommitmentExists`."""
        status, title = PROBLEMS[self.code]
        found, expected = (None if noted is None else str(noted)[:500] for noted in (self.found, self.expected))
        return Problem(
            type=_URN + self.code,
            title=title,
            status=status,
            detail=self.detail[:500],
            instance=instance[:500],
            code=self.code,
            found=found,
            expected=expected,
            answer=answer,
        )


def problem_code(body: bytes) -> str | None:
    """The code of an answer that is a problem."""
    try:
        return Problem.parse(body).code
    except ValueError:
        return None


class Problem(Document):
    """One RFC 9457 document; `answer` is what a `CommitmentExists` carries besides."""

    max_bytes: ClassVar[int] = 16_384

    type: str
    title: Text
    status: int
    detail: Text
    instance: Text
    code: str
    found: Text | None
    expected: Text | None
    answer: CommitmentAnswer | None = None

    @model_validator(mode="before")
    @classmethod
    def _gather(cls, members: Any) -> Any:
        if isinstance(members, dict) and "receipt" in members:
            answer = {name: members[name] for name in CommitmentAnswer.model_fields if name in members}
            return {**{name: members[name] for name in members if name not in answer}, "answer": answer}
        return members

    @model_validator(mode="after")
    def _known(self) -> Self:
        status, _ = PROBLEMS.get(self.code, (0, ""))
        if self.status != status or self.type != _URN + self.code:
            raise ValueError(f"{self.status} {self.code} is not in the closed list")
        if (self.answer is not None) != (self.code == "CommitmentExists"):
            raise ValueError("CommitmentExists, and nothing else, carries the first receipt")
        return self

    @property
    def value(self) -> dict[str, Any]:
        """The members as JSON values, those of the answer beside the others."""
        members = super().value
        answer = members.pop("answer")
        return {**members, **(answer or {})}
