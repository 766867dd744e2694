"""The miner's activities on the queue `inference`, as `MinerJob` calls them."""

from __future__ import annotations

from abc import ABC, abstractmethod

from temporalio import activity

from activities.messages.inference import (
    Expired,
    FetchedInputs,
    Inferred,
    MinerJobInput,
    SignedCommitment,
    Submission,
    SubmitCommitment,
    WrittenStore,
)


class InferenceActivities(ABC):
    """Each repeats safely by `job_id`; a commitment once signed stands."""

    @activity.defn
    @abstractmethod
    def fetch_gfs(self, job: MinerJobInput) -> FetchedInputs:
        """Fetch and prove the messages that the call names."""

    @activity.defn
    @abstractmethod
    def run_inference(self, job: MinerJobInput) -> Inferred:
        """Write the chunks of the forecast aside, lead by lead; heartbeat the leads done."""

    @activity.defn
    @abstractmethod
    def write_store(self, job: MinerJobInput) -> WrittenStore:
        """Complete the store with metadata and manifest, and show it under its name."""

    @activity.defn
    @abstractmethod
    def sign_commitment(self, job: MinerJobInput) -> SignedCommitment:
        """Sign the root and keep the commitment durably before anybody sees it."""

    @activity.defn
    @abstractmethod
    def submit_commitment(self, request: SubmitCommitment) -> Submission:
        """Send the commitment to one validator and keep its receipt."""

    @activity.defn
    @abstractmethod
    def expire_store(self, job: MinerJobInput) -> Expired:
        """Remove the store that nobody may ask for any more."""
