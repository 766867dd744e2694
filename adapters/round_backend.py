"""The round backend over HTTP: what it answers, and what in an answer is about which row."""

from __future__ import annotations

import asyncio
import json
import re
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from ipaddress import ip_address
from typing import Any

import httpx

from adapters.egress import retry_after
from adapters.ledger.tables.runs import OutboxRow
from protocol.canonical import J, load_json_strict
from protocol.round_backend import ASKED_NEXT, BATCHED, Reply, body_sha256, content_digest, resource
from weather.faults import ConfigurationInvalid

CONNECT_SECONDS, WHOLE_SECONDS = 5.0, 30.0
MOST_BYTES = 1 << 20
_SECOND, _DAY = timedelta(seconds=1), timedelta(days=1)
_CODE = re.compile(r"[A-Za-z-]{1,64}")


@dataclass(frozen=True)
class Answer:
    """Status 0 is no whole answer; a body that is no JSON object says nothing."""

    status: int
    document: Mapping[str, Any] = field(default_factory=dict)
    retry_after: timedelta | None = None

    def reply(self, body: str) -> Reply:
        """What it says of a body that was sent alone."""
        document = self.document
        proved = document.get("state") == "stored" and document.get("body_sha256") == body_sha256(body.encode())
        code, told = document.get("code"), document.get("retry_after")
        wait = timedelta(seconds=min(max(told, 0), _DAY // _SECOND)) if isinstance(told, int) else self.retry_after
        return Reply(self.status, code if isinstance(code, str) and _CODE.fullmatch(code) else None, proved, wait)

    def of_item(self, row: OutboxRow) -> Reply:
        """What it says of one evaluation of a batch; an item that is missing says nothing."""
        if self.status not in (200, 201, 207):
            return self.reply(row.body)
        items = self.document.get("items")
        for item in items if isinstance(items, list) else []:
            if isinstance(item, dict) and item.get("key") == row.key:
                status = item.get("status", self.status)
                return Answer(status if isinstance(status, int) else 0, item).reply(row.body)
        return Reply(0)


class RoundBackend:
    """One connection a call: 5 s to connect, 30 s for all of it, no redirects."""

    def __init__(self, base_url: str, token: str | None = None, seconds: float = WHOLE_SECONDS) -> None:
        self._base, self._seconds = _checked(base_url), seconds
        self._headers = {"Accept-Encoding": "identity"} | ({"Authorization": f"Bearer {token}"} if token else {})
        self._tls = ssl.create_default_context()

    async def deliver(self, rows: Sequence[OutboxRow]) -> list[tuple[str, Reply]]:
        """Send one row or a batch of evaluations, or ask after a row that was accepted; what came back, by key."""
        row = rows[0]
        path = resource(row.operation, row.run_id, row.item)
        if row.rule in ASKED_NEXT:
            return [(row.key, (await self.call("GET", path)).reply(row.body))]
        if row.operation != BATCHED:
            return [(row.key, (await self.call("PUT", path, row.body, row.key)).reply(row.body))]
        return await self._post(rows)

    async def call(self, method: str, path: str, body: str | None = None, key: str | None = None) -> Answer:
        """One request."""
        headers = self._headers | ({"Idempotency-Key": key} if key else {})
        if body is not None:
            headers |= {"Content-Type": "application/json", "Content-Digest": content_digest(body.encode())}
        limits = httpx.Timeout(self._seconds, connect=min(CONNECT_SECONDS, self._seconds))
        try:
            async with (
                asyncio.timeout(self._seconds),
                httpx.AsyncClient(verify=self._tls, timeout=limits, trust_env=False) as client,
                client.stream(method, self._base + path, content=body, headers=headers) as response,
            ):
                return await _read(response)
        except (httpx.HTTPError, TimeoutError):
            return Answer(0)

    async def _post(self, rows: Sequence[OutboxRow]) -> list[tuple[str, Reply]]:
        items = [
            {"key": row.key, "body_sha256": body_sha256(row.body.encode()), **json.loads(row.body)} for row in rows
        ]
        answer = await self.call("POST", resource(BATCHED, rows[0].run_id), J(items).decode())
        if answer.status == 413 and len(rows) > 1:
            half = len(rows) // 2
            return [*await self._post(rows[:half]), *await self._post(rows[half:])]
        return [(row.key, answer.of_item(row)) for row in rows]


async def _read(response: httpx.Response) -> Answer:
    text = bytearray()
    async for part in response.aiter_raw():
        text += part
        if len(text) > MOST_BYTES:
            return Answer(0)
    try:
        document = load_json_strict(bytes(text), MOST_BYTES, signed=False)
    except ValueError:
        document = None
    return Answer(response.status_code, document if isinstance(document, dict) else {}, retry_after(response, _DAY))


def _checked(base_url: str) -> str:
    try:
        url = httpx.URL(base_url)
    except httpx.InvalidURL as error:
        raise ConfigurationInvalid(f"the round backend's address is no URL: {error}") from error
    if url.host and (url.scheme == "https" or (url.scheme == "http" and _is_loopback(url.host))):
        return base_url.rstrip("/")
    raise ConfigurationInvalid("the round backend's address", found=url.copy_with(userinfo=b""), expected="https")


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
