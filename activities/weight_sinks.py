"""Weights leave for a sink, are read back, and both are recorded."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session
from temporalio import activity

from activities import attempts
from activities.messages.weights import Publication, PublishWeights
from activities.weights import key_of
from adapters.clock import Clock
from adapters.ledger import publications
from adapters.ledger.engine import Ledger
from adapters.ledger.tables.weights import WeightPublicationRow, WeightVectorRow
from adapters.sinks.port import Submitted, WeightSink
from protocol.weights import WeightsPayload, publication_key
from weather.faults import SinkUnavailable, WeightsNotPublished

EXPECTED_SECONDS = 5
ASK_AGAIN = timedelta(seconds=12)


class LedgerWeightSinks:
    """Blocking: runs in the thread pool of `publish`."""

    def __init__(
        self, ledger: Ledger, sinks: Sequence[WeightSink], clock: Clock, *, after_reveal: bool = False
    ) -> None:
        self._ledger, self._clock, self._after_reveal = ledger, clock, after_reveal
        self._sinks = {sink.name: sink for sink in sinks}

    @activity.defn
    def publish_weights(self, request: PublishWeights) -> Publication:
        """Hand the planned weights to a sink, or keep them back until they are revealed; again: they are read back."""
        key = key_of(request.epoch)
        with attempts.beating_thread():
            with self._ledger.read() as session:
                row = publications.publication(session, key, request.sink)
                if row.state != "planned":
                    return _told(row)
                payload = publications.payload(session, row)
                kept_back = not self._is_shown(session, request, payload)
            if kept_back:
                return self._move(key, request.sink, "committed")
            submitted = self._submit(request, payload)
            return self._move(key, request.sink, submitted.state, submitted.reference)

    @activity.defn
    def confirm_weights(self, request: PublishWeights) -> Publication:
        """Read back what was handed over, in this epoch and, if it was to be revealed, in those before."""
        key = key_of(request.epoch)
        with self._ledger.read() as session:
            rows = publications.to_confirm(session, key, request.sink)
            sent = [(row.state, row.reference, publications.payload(session, row)) for row in rows]
            due = [one for one in sent if one[1] or self._is_shown(session, request, one[2])]
        for state, reference, payload in due:
            sink, its_key = self._sinks[request.sink], _key(payload, request.sink)
            try:
                reference = reference or sink.submit(payload, its_key).reference
            except WeightsNotPublished:
                self._move(key._replace(epoch=payload.epoch), request.sink, "missed")
                continue
            there = sink.confirm(payload, its_key)
            if there is None and state == "committed":
                continue
            if not there and state == "submitted":
                raise SinkUnavailable(f"{request.sink} does not show the weights yet", retry_after=ASK_AGAIN)
            to = "confirmed" if there else "missed"
            self._move(key._replace(epoch=payload.epoch), request.sink, to, reference)
        with self._ledger.read() as session:
            return _told(publications.publication(session, key, request.sink))

    def _is_shown(self, session: Session, request: PublishWeights, payload: WeightsPayload) -> bool:
        after_reveal = self._after_reveal and request.sink != publications.HIDING
        shown = publications.shown(payload.network, after_reveal=after_reveal)
        same = (WeightVectorRow.network == payload.network) & (WeightVectorRow.input_digest == payload.input_digest)
        return session.scalar(select(WeightVectorRow.head).where(same, shown)) is not None

    def _submit(self, request: PublishWeights, payload: WeightsPayload) -> Submitted:
        sink, key = self._sinks[request.sink], _key(payload, request.sink)
        if activity.info().attempt > 1 and sink.confirm(payload, key):
            return Submitted("submitted", key)
        now, limit = (int(at.timestamp()) for at in (self._clock.now(), request.epoch.publish_until))
        if now + EXPECTED_SECONDS > limit:
            raise WeightsNotPublished(
                "the epoch is over", found=self._clock.now(), expected=request.epoch.publish_until
            )
        return sink.submit(payload, key)

    def _move(self, key: publications.EpochKey, sink: str, to: str, reference: str | None = None) -> Publication:
        code = WeightsNotPublished.__name__ if to == "missed" else None
        step = publications.PublicationStep(sink, to, self._clock.now(), reference, code)
        with self._ledger.begin() as session:
            return _told(publications.move(session, key, step))


def _key(payload: WeightsPayload, sink: str) -> str:
    return publication_key(payload.network, payload.epoch, sink, payload.shares_digest)


def _told(row: WeightPublicationRow) -> Publication:
    return Publication.model_validate({name: getattr(row, name) for name in ("sink", "state", "reference")})
