"""Attacks on addresses and certificates, and on the HTTP side of the validator (gallery rows 25, 26, 30, 33)."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta
from time import monotonic
from typing import Any, ClassVar

from starlette.requests import Request
from starlette.responses import Response

from protocol.identity import PrivateKey
from starter.ports import free_ports
from tests.attacks.commitments import STRANGER
from tests.attacks.honest import Miner
from tests.attacks.world import World
from tests.certificates import DAY, certificate


class LivesInsideANetwork(Miner):
    code, address = "AddressRefused", "https://10.0.0.1/inside"


class LivesAtTheMetadataService(Miner):
    code, address = "AddressRefused", "https://169.254.169.254/latest"


class LivesBehindNat64(Miner):
    code, address = "AddressRefused", "https://[64:ff9b::a00:1]/inside"


class PointsToAnotherScheme(Miner):
    code, prefix = "UrlRefused", ("http:", "https:")

    def completed(self) -> dict[str, Any]:
        good = super().completed()
        return good | {"zarr_store_url": good["zarr_store_url"].replace(*self.prefix)}


class PointsToAnotherPath(PointsToAnotherScheme):
    prefix = ("/zarr/", "/zarr/../zarr/")


class ShowsItsCertificate(Miner):
    """Not an attack: its certificate is the pin."""

    ends: ClassVar[timedelta] = DAY

    def __init__(self, world: World, name: str) -> None:
        super().__init__(world, name)
        self.certificate = certificate(world.folder / f"{name}.pem", ends=self.ends)
        self.pin, (self.port,) = self.certificate.sha256, free_ports(1)

    @property
    def base_url(self) -> str:
        return f"https://127.0.0.1:{self.port}/{self.name}"


class ShowsAnExpiredCertificate(ShowsItsCertificate):
    code, ends = "CertificateRefused", -DAY


class ShowsAnotherCertificate(ShowsItsCertificate):
    code = "CertificateRefused"

    def __init__(self, world: World, name: str) -> None:
        super().__init__(world, name)
        self.pin = certificate(world.folder / f"{name}-pinned.pem").sha256


class AttacksTheValidator(Miner):
    """Forecasts honestly; `answers` are what the validator's HTTP side said to what it did besides."""

    answered: ClassVar[set[str]]

    async def requested(self, request: Request, nonce: str) -> Response:
        self.answers: Counter[str] = Counter()
        self.attacking = asyncio.get_running_loop().create_task(self.attack())
        return await super().requested(request, nonce)

    async def attack(self) -> None:
        """What it does once it is called."""

    async def send(self, body: bytes, token: str) -> None:
        answer = await self.world.post(body, token)
        self.answers[f"{answer.status_code} {answer.json().get('code', '')}".strip()] += 1

    async def offer(self, key: PrivateKey) -> None:
        body = self.world.offer(self)
        await self.send(body, self.world.token(key, body))


class ReplaysAPush(AttacksTheValidator):
    answered: ClassVar = {"201", "401 Replayed", "401 Unauthenticated"}

    async def attack(self) -> None:
        body, other = self.world.offer(self), self.world.offer(self)
        token = self.world.token(self.key, body)
        for sent in (body, body, other):
            await self.send(sent, token)


class FloodsAsAStranger(AttacksTheValidator):
    answered: ClassVar = {"401 Unauthenticated"}

    async def attack(self) -> None:
        began = monotonic()
        for _ in range(20):
            await asyncio.gather(*(self.offer(STRANGER) for _ in range(10)))
        self.took_seconds = monotonic() - began


class FloodsAsAMiner(AttacksTheValidator):
    answered: ClassVar = {"201", "200", "429 RateLimited"}

    async def attack(self) -> None:
        for _ in range(25):
            await self.offer(self.key)


class CommitsInTheNameOfAnother(AttacksTheValidator):
    answered: ClassVar = {"401 Unauthenticated", "422 BindingMismatch"}

    async def attack(self) -> None:
        owner = self.others["honest-2"]
        await owner.called.wait()
        body = self.world.offer(owner)
        for key in (STRANGER, self.key):
            await self.send(body, self.world.token(key, body))


class PushesBesideTheFlood(AttacksTheValidator):
    """Not an attack: it waits for its receipt while others flood."""

    answered: ClassVar = {"201"}

    async def attack(self) -> None:
        await self.others["floods-as-a-stranger"].called.wait()
        began = monotonic()
        await self.offer(self.key)
        self.waited_seconds = monotonic() - began


ON_THE_VALIDATOR = (ReplaysAPush, FloodsAsAStranger, FloodsAsAMiner, CommitsInTheNameOfAnother, PushesBesideTheFlood)
ATTACKS = (
    LivesInsideANetwork,
    LivesAtTheMetadataService,
    LivesBehindNat64,
    PointsToAnotherScheme,
    PointsToAnotherPath,
    ShowsItsCertificate,
    ShowsAnExpiredCertificate,
    ShowsAnotherCertificate,
    *ON_THE_VALIDATOR,
)
