"""The port of what takes weights; its calls block, so they run in threads of the queue `publish`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Literal, NamedTuple

from protocol.weights import WeightsPayload


class Submitted(NamedTuple):
    """What a sink did with weights: `committed` are taken and come into force when they are revealed."""

    state: Literal["submitted", "committed"]
    reference: str


class WeightSink(ABC):
    """Taking the same weights again is harmless: a sink finds them by their key, or they are a state."""

    name: ClassVar[str]

    @abstractmethod
    def submit(self, payload: WeightsPayload, key: str) -> Submitted:
        """Hand over the weights of an epoch under their publication key.

        Raises:
            SinkUnavailable: not now; `retry_after` says when, where the sink knows it.
            WeightsNotPublished: refused, and no other attempt in this epoch can help.
        """

    @abstractmethod
    def confirm(self, payload: WeightsPayload, key: str) -> bool | None:
        """Whether the weights are there as they were sent; None while they are not revealed yet.

        Raises:
            SinkUnavailable: nothing can be read back now.
        """
