"""From closed rounds to published weights."""

from abc import ABC, abstractmethod

from temporalio import activity

from activities.messages.weights import (
    ComputeVector,
    Epoch,
    EpochStep,
    FrozenInputs,
    OverdueSettled,
    Publication,
    PublishWeights,
    RecordMissed,
    RegistryCompared,
    Vector,
    WeightsEpochInput,
)


class Weights(ABC):
    """The ledger's part."""

    @activity.defn
    @abstractmethod
    def open_epoch(self, request: WeightsEpochInput) -> Epoch:
        """Resolve every setting of an epoch."""

    @activity.defn
    @abstractmethod
    def freeze_epoch_inputs(self, request: EpochStep) -> FrozenInputs:
        """Fix head, window, standings and policy as one document."""

    @activity.defn
    @abstractmethod
    def compute_vector(self, request: ComputeVector) -> Vector:
        """Compute once by input digest, and plan what each sink is to get; again: the stored vector."""

    @activity.defn
    @abstractmethod
    def record_missed(self, request: RecordMissed) -> None:
        """End what is not confirmed in this epoch or before; it is never made up for."""


class Rounds(ABC):
    """What an epoch asks of open runs and of their workflows before it counts rounds."""

    @activity.defn
    @abstractmethod
    async def settle_overdue(self, request: EpochStep) -> OverdueSettled:
        """End each live round past its `close_by`, on what is recorded."""

    @activity.defn
    @abstractmethod
    async def compare_registry(self, request: EpochStep) -> RegistryCompared:
        """Keep who is registered, and signal open runs that a member of their roster is not any more."""


class WeightSinks(ABC):
    """The sinks of the queue `publish`."""

    @activity.defn
    @abstractmethod
    def publish_weights(self, request: PublishWeights) -> Publication:
        """Hand the planned weights to a sink; again: they are read back first."""

    @activity.defn
    @abstractmethod
    def confirm_weights(self, request: PublishWeights) -> Publication:
        """Read back what was handed over, in this epoch and, if it was to be revealed, in those before."""
