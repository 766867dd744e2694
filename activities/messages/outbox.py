"""Messages of the round backend's outbox."""

from __future__ import annotations

from activities.messages.base import Instant, Message


class DeliverOutbox(Message):
    """Asks to tell the round backend what is due of a run."""

    run_id: str


class OutboxDelivered(Message):
    """When the next row of an open run is due; none if nothing is left."""

    next_at: Instant | None
