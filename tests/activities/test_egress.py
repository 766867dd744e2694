"""Where connections may go, and with whom they are made."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address, ip_network

import httpx
import pytest

from adapters.clock import Clock
from adapters.egress import Egress, addresses_of, fault_of, is_public
from tests.certificates import Certificate, certificate
from tests.fixed_clock import FixedClock
from tests.hostile_miner import HostileMiner, Server, running
from weather.faults import AddressRefused, CertificateRefused, Fault, MinerUnreachable

LOOPBACK = (ip_network("127.0.0.0/8"),)


class Names:
    """A name service that answers in turn and counts the questions."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, int]] = []

    async def __call__(self, host: str, port: int) -> list[str]:
        self.asked.append((host, port))
        return self.answers.pop(0)


@pytest.mark.parametrize(
    "address",
    ["8.8.8.8", "2606:4700::1111", "64:ff9b::808:808", "2002:808:808::1", "::ffff:8.8.8.8"],
)
def test_globally_routable_unicast_is_public(address: str) -> None:
    assert is_public(ip_address(address))


@pytest.mark.parametrize(
    "address",
    [
        *("10.0.0.1", "169.254.169.254", "127.0.0.1", "100.64.0.1", "0.0.0.0", "224.0.0.1", "240.0.0.1", "192.0.2.1"),
        *("::1", "::", "fe80::1", "fc00::1", "fec0::1", "ff02::1", "2001:db8::1"),
        *("64:ff9b::a00:1", "64:ff9b:1::808:808", "::ffff:10.0.0.1", "2002:a00:1::1", "2001:0:808:808::f5ff:fffe"),
    ],
)
def test_what_is_not_or_holds_a_private_address_is_not_public(address: str) -> None:
    assert not is_public(ip_address(address))


@pytest.mark.parametrize(
    "answer", [["10.0.0.1"], ["169.254.1.1"], ["::1"], ["64:ff9b::a00:1"], ["8.8.8.8", "192.168.0.1"]], ids=str
)
async def test_one_private_address_among_the_answers_refuses_the_name(answer: list[str]) -> None:
    async with Egress(Clock(), resolve=Names(answer)).client("https://miner.example") as client:
        with pytest.raises(AddressRefused):
            await client.get("health")


async def test_plain_http_goes_to_allowed_addresses_only() -> None:
    egress = Egress(Clock(), allow=LOOPBACK, resolve=Names(["8.8.8.8"]))
    async with egress.client("http://miner.example") as client:
        with pytest.raises(AddressRefused):
            await client.get("health")


async def test_a_name_that_does_not_resolve_is_unreachable() -> None:
    async def nowhere(host: str, port: int) -> list[str]:
        raise socket.gaierror("no such name")

    async with Egress(Clock(), resolve=nowhere).client("https://miner.example") as client:
        with pytest.raises(MinerUnreachable):
            await client.get("health")


def test_hosts_are_looked_up_together_and_one_that_is_no_name_has_no_address() -> None:
    found = addresses_of({"localhost", "127.0.0.9", f"{'a' * 64}.example"})
    assert "127.0.0.1" in found["localhost"]
    assert (found["127.0.0.9"], found[f"{'a' * 64}.example"]) == ({"127.0.0.9"}, frozenset())


@pytest.fixture(scope="module")
def plain() -> Iterator[Server]:
    with running() as served:
        yield served


async def test_a_name_is_looked_up_once_and_stays_the_host(plain: Server) -> None:
    """It turns private after the first look-up; the connection stays."""
    plain.app = miner = HostileMiner()
    names = Names(["127.0.0.1"], ["10.0.0.1"])
    port = plain.url.rpartition(":")[2]
    async with Egress(Clock(), LOOPBACK, names).client(f"http://miner.test:{port}/a") as client:
        await client.get("health", headers={"Connection": "close"})
        await client.get("health")
    assert names.asked == [("miner.test", int(port))]
    assert [headers["host"] for headers in miner.headers] == [f"miner.test:{port}"] * 2


async def test_proxy_variables_are_ignored(plain: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    plain.app = HostileMiner()
    async with Egress(Clock(), LOOPBACK).client(plain.url) as client:
        assert (await client.get("health")).status_code == 404


@pytest.fixture(scope="module")
def certified(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return certificate(tmp_path_factory.mktemp("tls") / "server.pem")


@pytest.fixture(scope="module")
def secure(certified: Certificate) -> Iterator[Server]:
    with running(ssl_certfile=certified.file) as served:
        yield served


async def get(egress: Egress, secure: Server, pin: str | None) -> int | Fault:
    port = secure.url.rpartition(":")[2]
    async with egress.client(f"https://miner.test:{port}", pin) as client:
        try:
            return (await client.get("health")).status_code
        except httpx.HTTPError as error:
            return fault_of(error)
        except Fault as fault:
            return fault


async def test_the_pinned_certificate_is_the_whole_trust_whatever_name_it_bears(
    certified: Certificate, secure: Server
) -> None:
    secure.app = HostileMiner()
    egress = Egress(Clock(), LOOPBACK, Names(["127.0.0.1"]))
    assert await get(egress, secure, certified.sha256) == 404


@pytest.mark.parametrize("act", ["another certificate than the pin", "expired pin", "unknown issuer without a pin"])
async def test_a_certificate_that_does_not_hold_sees_no_request(
    act: str, certified: Certificate, secure: Server
) -> None:
    secure.app = miner = HostileMiner()
    late = FixedClock(datetime.now(UTC) + timedelta(days=2))
    clock, pin = {
        "another certificate than the pin": (Clock(), "0" * 64),
        "expired pin": (late, certified.sha256),
        "unknown issuer without a pin": (Clock(), None),
    }[act]
    fault = await get(Egress(clock, LOOPBACK, Names(["127.0.0.1"])), secure, pin)
    assert isinstance(fault, CertificateRefused)
    assert miner.headers == []
