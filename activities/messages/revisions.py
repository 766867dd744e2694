"""Messages of `Revision`."""

from __future__ import annotations

from datetime import UTC
from typing import Literal

from activities.messages.base import Digest, Instant, Message, Ref
from activities.messages.scoring import EnsureTruth, Scoring


class RevisionInput(Message):
    """A newer truth of one valid time."""

    valid_time: Instant
    truth_version: Literal["era5"] = "era5"

    @property
    def workflow_id(self) -> str:
        """The business key."""
        return f"revision/{self.valid_time.astimezone(UTC):%Y-%m-%dT%HZ}/{self.truth_version}"


class FindRevisions(Message):
    """Asks for the valid times of scored leads that no newer truth has revised yet."""

    at: Instant


class ValidTimes(Message):
    """Valid times in their order."""

    valid_times: tuple[Instant, ...]


class ScoredLeads(Message):
    """The leads of live runs that verify at one valid time, by init time, and the truth that each is to have."""

    leads: tuple[EnsureTruth, ...]


class RevisionPlanned(Message):
    """How many fields are as they were, and what has to be scored again, as one document; none if all are."""

    confirmed: int
    plan: Ref | None = None


class RescoreFields(Scoring):
    """Scores the fields of a plan again, from bytes that are kept."""

    plan: Ref


class RecordRevision(Scoring):
    """Writes what a newer truth made of a lead."""

    confirmed: int
    rescored: Ref | None = None
    at: Instant


class LeadRevised(Message):
    """Facts that were added, fields that were confirmed, fields that could not be revised, and the report."""

    run_id: str
    lead_hours: int
    rescored: int
    confirmed: int
    refused: int
    report: Digest


class RevisionResult(Message):
    """Each lead that verifies at the valid time and was not revised before."""

    leads: tuple[LeadRevised, ...]
