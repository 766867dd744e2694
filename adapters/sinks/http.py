"""Weights as a resource an epoch, put under the rules of the round backend."""

from __future__ import annotations

import asyncio

from adapters.round_backend import RoundBackend
from adapters.sinks.port import Submitted, WeightSink
from protocol.round_backend import Reply, verdict
from protocol.weights import WeightsPayload
from weather.faults import SinkUnavailable, WeightsNotPublished


class HttpSink(WeightSink):
    name = "http"

    def __init__(self, backend: RoundBackend) -> None:
        self._backend = backend

    def submit(self, payload: WeightsPayload, key: str) -> Submitted:
        reply = self._call("PUT", payload, key)
        judged = verdict(reply, "", 0)
        if judged.state == "stored" or judged.rule.name == "accepted":
            return Submitted("submitted", key)
        if judged.state == "parked":
            raise WeightsNotPublished(f"http sink: {judged.rule.name}", found=_told(reply))
        raise SinkUnavailable(f"http sink: {judged.rule.name}", found=_told(reply), retry_after=judged.pause)

    def confirm(self, payload: WeightsPayload, key: str) -> bool | None:
        reply = self._call("GET", payload)
        if reply.status in (202, 404):
            return None
        if reply.status != 200:
            raise SinkUnavailable("http sink: nothing can be read back", found=_told(reply))
        return reply.proved

    def _call(self, method: str, payload: WeightsPayload, key: str | None = None) -> Reply:
        path, body = f"/networks/{payload.network}/weights/{payload.epoch}", payload.canonical.decode()
        return asyncio.run(self._backend.call(method, path, body if key else None, key)).reply(body)


def _told(reply: Reply) -> str:
    return f"status {reply.status} {reply.code or ''}".strip()
