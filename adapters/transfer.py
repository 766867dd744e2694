"""Objects of one miner's store: each read once, in full, in time, and compared with its digest before it is used."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass

import httpx
from opentelemetry import propagate

from adapters import instruments
from adapters.egress import RETRIED_STATUSES, check_head, fault_of, has_content_coding
from protocol.manifest import Entry
from weather.faults import (
    BadAnswer,
    CertificateRefused,
    ContentCodingRefused,
    Fault,
    ManifestAbsent,
    ManifestMalformed,
    MinerFault,
    ObjectAbsent,
    ObjectDigestMismatch,
    ObjectLengthMismatch,
    TokenRefused,
    TransferFailed,
    TransferSlow,
)


@dataclass(frozen=True)
class TransferBudget:
    """How much time a miner has; a whole object has `base_seconds` and its size at `bytes_per_second`."""

    first_byte_seconds: float = 10.0
    base_seconds: float = 15.0
    bytes_per_second: int = 256 * 1024
    manifest_round_seconds: float = 300.0
    lead_round_seconds: float = 900.0

    def object_seconds(self, size_bytes: int) -> float:
        """For one whole object."""
        return self.base_seconds + size_bytes / self.bytes_per_second


@dataclass(frozen=True)
class _Wanted:
    """A path of the store, what it may weigh, and what else is called by which name."""

    path: str
    least_bytes: int
    most_bytes: int
    absent: type[MinerFault] = ObjectAbsent
    wrong_length: type[MinerFault] = ObjectLengthMismatch


class AccessTokens:
    """One access token for a pass; refused, it is replaced once."""

    def __init__(self, ask: Callable[[], Awaitable[str]]) -> None:
        self._ask = ask
        self._asking = asyncio.Lock()
        self._token: str | None = None
        self._replaced = False

    async def current(self, refused: str | None = None) -> str:
        """The token in use, if it is another than the one that was refused."""
        async with self._asking:
            if self._token is None or self._token == refused:
                if self._replaced:
                    raise TokenRefused("the miner refuses its own token again")
                self._replaced = refused is not None
                self._token = await self._ask()
            return self._token


class Transfer:
    """One miner and pass: one client, one look-up, at most so many GETs at once as `slots` has."""

    def __init__(
        self, client: httpx.AsyncClient, tokens: AccessTokens, slots: asyncio.Semaphore, budget: TransferBudget
    ) -> None:
        self._client = client
        self._tokens = tokens
        self._slots = slots
        self._budget = budget

    async def fetch_manifest(self, most_bytes: int) -> bytes:
        """The served bytes of the manifest, of any length up to the cap, not judged yet."""
        return await self._fetch(_Wanted("manifest.json", 0, most_bytes, ManifestAbsent, ManifestMalformed))

    async def fetch_object(self, entry: Entry) -> bytes:
        """The committed bytes of an object."""
        body = await self._fetch(_Wanted(entry.path, entry.size, entry.size))
        found = hashlib.sha256(body).hexdigest()
        if found != entry.sha256:
            raise ObjectDigestMismatch(entry.path, found=found, expected=entry.sha256)
        instruments.BYTES_VERIFIED.add(len(body))
        return body

    async def _fetch(self, wanted: _Wanted) -> bytes:
        async with self._slots:
            token = await self._tokens.current()
            try:
                return await self._get(token, wanted)
            except TokenRefused:
                return await self._get(await self._tokens.current(token), wanted)

    async def _get(self, token: str, wanted: _Wanted) -> bytes:
        headers = {"Authorization": f"Bearer {token}"}
        propagate.inject(headers)
        request = self._client.build_request("GET", wanted.path, headers=headers)
        seconds = self._budget.object_seconds(wanted.most_bytes)
        try:
            async with asyncio.timeout(seconds):
                return await self._answer(request, wanted)
        except TimeoutError as error:
            raise TransferSlow(wanted.path, expected=f"a first byte in time, all in {seconds:.1f} s") from error
        except httpx.HTTPError as error:
            raise _transfer_fault(error, wanted) from error

    async def _answer(self, request: httpx.Request, wanted: _Wanted) -> bytes:
        async with asyncio.timeout(self._budget.first_byte_seconds):
            response = await self._client.send(request, stream=True)
        async with aclosing(response):
            return await _body(response, wanted)


def _transfer_fault(error: httpx.HTTPError, wanted: _Wanted) -> Fault:
    fault = fault_of(error)
    return fault if isinstance(fault, CertificateRefused | BadAnswer) else TransferFailed(wanted.path, found=fault)


async def _body(response: httpx.Response, wanted: _Wanted) -> bytes:
    _check_status(response, wanted)
    if has_content_coding(response):
        raise ContentCodingRefused(wanted.path, found=response.headers["content-encoding"], expected="none")
    length = _declared_length(response, wanted)
    body = bytearray()
    try:
        async for part in response.aiter_raw():
            body += part
    except httpx.HTTPError as error:
        raise TransferFailed(wanted.path, found=f"{len(body)} bytes", expected=f"{length} bytes") from error
    return bytes(body)


def _check_status(response: httpx.Response, wanted: _Wanted) -> None:
    check_head(response)
    status = response.status_code
    if status in (401, 403):
        raise TokenRefused(wanted.path, found=status)
    if status in (404, 410):
        raise wanted.absent(wanted.path, found=status)
    if status in RETRIED_STATUSES:
        raise TransferFailed(wanted.path, found=status)
    if status != 200:
        raise BadAnswer(wanted.path, found=f"status {status}")


def _declared_length(response: httpx.Response, wanted: _Wanted) -> int:
    """The only length that the body may have; a body in chunks has none."""
    text = response.headers.get("content-length", "")
    chunked = "transfer-encoding" in response.headers
    if chunked or not text.isdecimal() or not wanted.least_bytes <= int(text) <= wanted.most_bytes:
        expected = f"{wanted.least_bytes} … {wanted.most_bytes} bytes declared"
        raise wanted.wrong_length(wanted.path, found=text[:20] or "no length", expected=expected)
    return int(text)
