"""The way out: one look-up a client, judged addresses, the connection pinned to the judged one."""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
import socket
import ssl
from collections.abc import Awaitable, Callable, Collection
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from http.cookiejar import CookieJar
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any

import httpx
from cryptography import x509

from adapters.clock import Clock
from weather.faults import (
    AddressRefused,
    BadAnswer,
    CertificateRefused,
    Fault,
    MinerTimeout,
    MinerUnreachable,
    Redirected,
)

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Resolve = Callable[[str, int], Awaitable[list[str]]]

CONNECT_SECONDS = 5.0
LOOK_UP_SECONDS = 10.0
LOOK_UPS = 32
MAX_HEADER_FIELDS = 100
MAX_HEADER_BYTES = 32 * 1024
RETRIED_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})
GLOBAL_UNICAST = IPv6Network("2000::/3")
NAT64 = IPv6Network("64:ff9b::/96")


async def system_resolve(host: str, port: int) -> list[str]:
    """All addresses of the host, as the operating system orders them."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(sockaddr[0]) for *_, sockaddr in found]


def addresses_of(hosts: Collection[str]) -> dict[str, frozenset[str]]:
    """All addresses by host, blocking; a host that does not resolve in time is left out."""
    pool = ThreadPoolExecutor(LOOK_UPS)
    asked = {pool.submit(_look_up, host): host for host in hosts}
    done, _ = wait(asked, LOOK_UP_SECONDS)
    pool.shutdown(wait=False, cancel_futures=True)
    return {asked[one]: one.result() for one in done}


def _look_up(host: str) -> frozenset[str]:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return frozenset()
    return frozenset(str(sockaddr[0]) for *_, sockaddr in found)


def is_public(address: Address) -> bool:
    """Whether the address, and any IPv4 address inside it, is globally routable unicast."""
    if isinstance(address, IPv4Address):
        return address.is_global and not address.is_multicast
    if address in NAT64:
        return is_public(IPv4Address(int(address) & 0xFFFFFFFF))
    inside = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    routable = address.ipv4_mapped is not None or (address in GLOBAL_UNICAST and address.is_global)
    return routable and all(is_public(one) for one in inside if one is not None)


@dataclass(frozen=True)
class Endpoint:
    """Path below the base URL, greatest answer and time for all of it."""

    path: str
    answer_bytes: int
    seconds: float


@dataclass(frozen=True)
class Egress:
    """What all outgoing connections to peers obey; a call has `call_seconds` at most, or its own shorter time."""

    clock: Clock
    allow: tuple[Network, ...] = ()
    resolve: Resolve = system_resolve
    call_seconds: float = 30.0

    def client(self, base_url: str, tls_sha256: str | None = None) -> httpx.AsyncClient:
        """A client for one peer and pass: it resolves the name once and follows nothing."""
        return httpx.AsyncClient(
            base_url=base_url,
            transport=PinnedTransport(self, tls_sha256),
            headers={"Accept-Encoding": "identity"},
            cookies=_NoCookies(),
            follow_redirects=False,
            trust_env=False,
            timeout=httpx.Timeout(None, connect=CONNECT_SECONDS),
        )

    async def exchange(
        self, base_url: str, endpoint: Endpoint, tls_sha256: str | None = None, **posted: Any
    ) -> tuple[httpx.Response, bytes]:
        """Any answer of a peer and its body; a POST of what is `posted`, if that is anything."""
        seconds = min(endpoint.seconds, self.call_seconds)
        try:
            async with (
                asyncio.timeout(seconds),
                self.client(base_url, tls_sha256) as client,
                client.stream("POST" if posted else "GET", endpoint.path, **posted) as response,
            ):
                check_head(response)
                return response, await _uncoded(response, endpoint.answer_bytes)
        except TimeoutError as error:
            raise MinerTimeout(f"{endpoint.path}: no complete answer", expected=f"{seconds} s") from error
        except httpx.HTTPError as error:
            raise fault_of(error) from error

    async def address(self, url: httpx.URL) -> str:
        """The one address to connect to; every address of the name has been judged."""
        try:
            found = [ipaddress.ip_address(one) for one in await self.resolve(url.host, _port(url))]
        except OSError as error:
            raise MinerUnreachable("name does not resolve", found=url.host) from error
        if not found:
            raise MinerUnreachable("name has no address", found=url.host)
        for one in found:
            allowed = any(one in network for network in self.allow)
            if not allowed and (url.scheme != "https" or not is_public(one)):
                raise AddressRefused(f"{url.scheme} to {url.host}", found=one, expected="https to a public address")
        return str(found[0])


class _NoCookies(CookieJar):
    """Reads none: what a peer sets is neither parsed nor sent back."""

    def extract_cookies(self, response: Any, request: Any) -> None:
        return None


class PinnedTransport(httpx.AsyncBaseTransport):
    """Connects to the judged address with the registered name as SNI and `Host`."""

    def __init__(self, egress: Egress, tls_sha256: str | None) -> None:
        self._egress = egress
        self._tls_sha256 = tls_sha256
        self._resolving = asyncio.Lock()
        self._address: str | None = None
        self._inner = httpx.AsyncHTTPTransport(verify=_tls(tls_sha256 is not None), trust_env=False)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send to the pinned address; the name is looked up at the first request only."""
        async with self._resolving:
            if self._address is None:
                self._address = await self._egress.address(request.url)
        extensions = {**request.extensions, "sni_hostname": request.url.host}
        if self._tls_sha256 is not None:
            extensions["trace"] = self._check_pin
        pinned = httpx.Request(
            request.method,
            request.url.copy_with(host=self._address),
            headers=request.headers,
            stream=request.stream,
            extensions=extensions,
        )
        return await self._inner.handle_async_request(pinned)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._inner.aclose()

    async def _check_pin(self, event: str, info: dict[str, Any]) -> None:
        """Compare the leaf right after the handshake, before any byte of the request is sent."""
        if event != "connection.start_tls.complete":
            return
        stream = info["return_value"]
        leaf = stream.get_extra_info("ssl_object").getpeercert(binary_form=True)
        certificate = x509.load_der_x509_certificate(leaf)
        found = hashlib.sha256(leaf).hexdigest()
        now = self._egress.clock.now()
        dated = certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc
        if found != self._tls_sha256 or not dated:
            await stream.aclose()
            raise CertificateRefused("pin" if dated else "dates", found=found, expected=self._tls_sha256)


@lru_cache(maxsize=2)
def _tls(pinned: bool) -> ssl.SSLContext:
    """Costly to make: it reads the trust store of the system."""
    context = ssl.create_default_context()
    if pinned:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE  # PinnedTransport compares the one certificate
    return context


def _port(url: httpx.URL) -> int:
    return url.port or (443 if url.scheme == "https" else 80)


def fault_of(error: Exception) -> Fault:
    """The miner's fault that an httpx error before the body stands for."""
    causes = _causes(error)
    if any(isinstance(one, ssl.SSLCertVerificationError) for one in causes):
        return CertificateRefused(str(error))
    if isinstance(error, httpx.RemoteProtocolError) and len(causes) > 2:  # the parser's own error is its cause
        return BadAnswer("not an HTTP/1.1 answer", found=error)
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        return MinerUnreachable(str(error) or type(error).__name__)
    return MinerTimeout(str(error) or type(error).__name__)


def _causes(error: BaseException | None) -> list[BaseException]:
    found = []
    while error is not None:
        found.append(error)
        error = error.__cause__ or error.__context__
    return found


def check_head(response: httpx.Response) -> None:
    """Refuse redirects and heads over the limits, whatever the call."""
    if 300 <= response.status_code < 400:
        raise Redirected(f"status {response.status_code}", found=response.headers.get("location"))
    raw = response.headers.raw
    size = sum(len(name) + len(value) + 4 for name, value in raw)
    if len(raw) > MAX_HEADER_FIELDS or size > MAX_HEADER_BYTES:
        raise BadAnswer("answer headers over the limit", found=f"{len(raw)} fields, {size} bytes")


def retry_after(response: httpx.Response, longest: timedelta) -> timedelta | None:
    """The wait that an answer names in seconds."""
    text = response.headers.get("retry-after", "")
    return min(timedelta(seconds=int(text[:9])), longest) if text.isascii() and text.isdigit() else None


def has_content_coding(response: httpx.Response) -> bool:
    """Whether the body is anything but the bytes themselves."""
    return response.headers.get("content-encoding", "identity").lower() != "identity"


async def _uncoded(response: httpx.Response, most_bytes: int) -> bytes:
    if has_content_coding(response):
        raise BadAnswer("content coding", found=response.headers["content-encoding"], expected="identity")
    try:
        return await read_limited(response, most_bytes)
    except httpx.HTTPError as error:
        raise MinerTimeout("the answer broke off", found=error) from error


async def read_limited(response: httpx.Response, most_bytes: int) -> bytes:
    """The body as it was sent, if it is not too large."""
    body = bytearray()
    async for part in response.aiter_raw():
        body += part
        if len(body) > most_bytes:
            raise BadAnswer("answer over the limit", found=f"{len(body)} bytes or more", expected=most_bytes)
    return bytes(body)
