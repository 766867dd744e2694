"""What is told to the round backend."""

from abc import ABC, abstractmethod

from temporalio import activity

from activities.messages.outbox import DeliverOutbox, OutboxDelivered


class Outbox(ABC):
    """The delivery of what was written with each change."""

    @activity.defn
    @abstractmethod
    def deliver_outbox(self, request: DeliverOutbox) -> OutboxDelivered:
        """Deliver all that is due; of a closed run, fail until no row is pending."""
