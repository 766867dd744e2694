"""Whether our own network stood: a transport fault counts against a miner only if another exchange succeeded."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

import httpx

from adapters.clock import Clock
from protocol.tokens import WRONG_TIME
from weather.faults import (
    BadAnswer,
    CertificateRefused,
    EgressDown,
    MinerFault,
    MinerTimeout,
    MinerUnreachable,
    TransferFailed,
    TransferSlow,
)

Kind = Literal["POST", "GET"]
TRANSPORT = (MinerUnreachable, MinerTimeout, TransferFailed, TransferSlow, CertificateRefused)
WINDOW = timedelta(seconds=60)
PROBE_SECONDS = 10.0


@dataclass
class Witness:
    """Remembers, for this process, when an exchange of each kind last succeeded with each miner."""

    clock: Clock
    probe_url: str | None = None
    _seen: dict[tuple[Kind, str], datetime] = field(default_factory=dict)

    @asynccontextmanager
    async def of(self, kind: Kind, hotkey: str) -> AsyncGenerator[None]:
        """An exchange that succeeds is remembered; a transport fault without a witness becomes ours.

        Raises:
            EgressDown: nobody else could be reached either.
        """
        try:
            yield
        except MinerFault as fault:
            await self.require(kind, hotkey, fault)
            raise
        self.saw(kind, hotkey)

    def saw(self, kind: Kind, hotkey: str) -> None:
        """An exchange with this miner has just succeeded."""
        self._seen[kind, hotkey] = self.clock.now()

    async def require(self, kind: Kind, hotkey: str, fault: MinerFault) -> None:
        """Raise `EgressDown` if the fault needs a witness and there is none."""
        wrong_time = isinstance(fault, BadAnswer) and fault.detail == WRONG_TIME
        if not (isinstance(fault, TRANSPORT) or wrong_time):
            return
        if not (self._seen_other(kind, hotkey) or await self._probe(kind)):
            raise EgressDown(f"{fault.code} without a witness", found=fault, expected="another exchange") from fault

    def _seen_other(self, kind: Kind, hotkey: str) -> bool:
        since = self.clock.now() - WINDOW
        return any(one == kind and other != hotkey and at >= since for (one, other), at in self._seen.items())

    async def _probe(self, kind: Kind) -> bool:
        if self.probe_url is None:
            return False
        try:
            async with asyncio.timeout(PROBE_SECONDS), httpx.AsyncClient(timeout=PROBE_SECONDS) as client:
                await client.request(kind, self.probe_url)
        except (httpx.HTTPError, TimeoutError):
            return False
        return True
