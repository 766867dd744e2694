"""Messages of `WeightsEpoch`."""

from __future__ import annotations

from typing import Literal

from activities.messages.base import Digest, FaultNote, Hotkey, Instant, Message, Ref

PublicationState = Literal["planned", "submitted", "committed", "confirmed", "missed"]


class WeightsEpochInput(Message):
    """Which epoch's weights to publish: by number, else the one that holds `as_of`, else that of now."""

    network: str | None = None
    epoch: int | None = None
    as_of: Instant | None = None

    @property
    def workflow_id(self) -> str:
        """The business key, once network and epoch are known."""
        return f"weights/{self.network}/{self.epoch}"


class Epoch(Message):
    """An epoch with every setting resolved; `as_of` is its start, and nothing is sent after `publish_until`."""

    validator: Hotkey
    network: str
    epoch: int
    as_of: Instant
    publish_until: Instant
    ends: Instant
    sinks: tuple[str, ...]

    @property
    def request(self) -> WeightsEpochInput:
        """What starts this epoch, whose workflow id is the only one under which it may be played."""
        return WeightsEpochInput(network=self.network, epoch=self.epoch)


class EpochStep(Message):
    """A step of an epoch; `at` is when the workflow takes it."""

    epoch: Epoch
    at: Instant


class OverdueSettled(Message):
    """Live rounds past `close_by` without an end: those that are closed now, and those that close themselves."""

    closed: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()


class RegistryCompared(Message):
    registered: int
    signals: int


class FrozenInputs(Message):
    """All that the weights are computed from, as one document; its digest is the input digest."""

    inputs: Ref
    head: int
    rounds: int


class ComputeVector(EpochStep):
    inputs: Ref


class Vector(Message):
    """A stored vector; `created` tells whether it is new."""

    input_digest: Digest
    shares_digest: Digest
    hotkeys: int
    created: bool


class PublishWeights(EpochStep):
    sink: str


class Publication(Message):
    """Where the weights of an epoch stand in a sink; the fault says why they are not there."""

    sink: str
    state: PublicationState
    reference: str | None = None
    fault: FaultNote | None = None


class RecordMissed(EpochStep):
    """Ends an epoch that is not in every sink."""

    fault: FaultNote


class WeightsEpochResult(Message):
    """What an epoch that reached every sink is remembered by."""

    epoch: int
    head: int
    input_digest: Digest
    publications: tuple[Publication, ...]


class WeightsStatus(Message):
    epoch: int | None = None
    stage: str
    head: int | None = None
    input_digest: Digest | None = None
    publications: tuple[Publication, ...] = ()
