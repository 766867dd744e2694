"""Retention audits, and the comparison with other validators."""

from abc import ABC, abstractmethod

from temporalio import activity

from activities.messages.audits import (
    AuditObjects,
    AuditRecorded,
    AuditsDue,
    CommitmentsCompared,
    CompareCommitments,
    ObjectsAudited,
    RecordAudit,
    TakeAudits,
)


class AuditRecords(ABC):
    """The ledger's part; the secret stays in here."""

    @activity.defn
    @abstractmethod
    def take_audits(self, request: TakeAudits) -> AuditsDue:
        """Answer what is due and not recorded, and the next instant."""

    @activity.defn
    @abstractmethod
    def record_audits(self, request: RecordAudit) -> AuditRecorded:
        """Record how an audit ended, and settle the cases that it loses; again: the first record."""


class Auditor(ABC):
    """The transfers."""

    @activity.defn
    @abstractmethod
    async def audit_objects(self, request: AuditObjects) -> ObjectsAudited:
        """Read the objects of an audit as committed, kept or not."""


class Peers(ABC):
    """Other validators of the network."""

    @activity.defn
    @abstractmethod
    async def compare_commitments(self, request: CompareCommitments) -> CommitmentsCompared:
        """Record `Equivocation` for who committed to one forecast here and to another elsewhere."""
