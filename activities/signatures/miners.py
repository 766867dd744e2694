"""Calls to miners, verified transfers, and what the ledger keeps of them."""

from abc import ABC, abstractmethod

from temporalio import activity

from activities.messages.miner import (
    CommitmentRecorded,
    DeliverReceipt,
    LastWord,
    ManifestVerified,
    MinerAnswer,
    MinerCall,
    PollCommitment,
    RecordAnswer,
    RecordCommitment,
    SettleMiner,
    VerifyManifest,
)
from activities.messages.scoring import FetchLead, LeadFetched


class MinerRecords(ABC):
    """Ledger rows of one miner of one run."""

    @activity.defn
    @abstractmethod
    def record_answer(self, request: RecordAnswer) -> None:
        """Project an answer; one that would lower the rank writes nothing."""

    @activity.defn
    @abstractmethod
    def record_commitment(self, request: RecordCommitment) -> CommitmentRecorded:
        """Store a pulled commitment; if another stands, that one is answered."""

    @activity.defn
    @abstractmethod
    def record_last_word(self, request: LastWord) -> None:
        """Keep what proves, or does not prove, that a miner is absent."""

    @activity.defn
    @abstractmethod
    def settle_miner(self, request: SettleMiner) -> None:
        """Record the end: verified, or one fault with its evidence."""


class MinerCalls(ABC):
    """Short calls to miners."""

    @activity.defn
    @abstractmethod
    async def request_forecast(self, request: MinerCall) -> MinerAnswer:
        """Ask for the forecast (call 2)."""

    @activity.defn
    @abstractmethod
    async def poll_commitment(self, request: PollCommitment) -> MinerAnswer:
        """Ask for the commitment (call 4) until the stage changes."""

    @activity.defn
    @abstractmethod
    async def deliver_receipt(self, request: DeliverReceipt) -> None:
        """Send the receipt of a pulled commitment (call 5)."""


class Downloads(ABC):
    """Verified transfers from miners."""

    @activity.defn
    @abstractmethod
    async def verify_manifest(self, request: VerifyManifest) -> ManifestVerified:
        """Check token, manifest and metadata against the commitment."""

    @activity.defn
    @abstractmethod
    async def fetch_lead(self, request: FetchLead) -> LeadFetched:
        """Keep the committed bytes of the fields of a pass."""
