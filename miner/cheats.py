"""Miners that cheat, for the demo and for tests: each is a small departure from the honest one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from miner.settings import Miner
from protocol.layout import Layout
from weather.faults import ConfigurationInvalid

FLIPPED_LEAD_HOURS = 120


@dataclass(frozen=True)
class Cheat:
    """What is done otherwise.

    Attributes:
        hold_back: sign so long after the deadline.
        tamper: changes the store once its manifest is fixed.
        service: answers in place of the honest one.
    """

    hold_back: timedelta | None = None
    tamper: Callable[[Path, Layout], None] | None = None
    service: ASGIApp | None = None


def flip_byte(store: Path, layout: Layout) -> None:
    """Change one byte of the last field of one lead."""
    leads = layout.lead_time_hours
    lead = FLIPPED_LEAD_HOURS if FLIPPED_LEAD_HOURS in leads else leads[-1]
    path = store / layout.chunk_path(*layout.fields()[-1], lead)
    chunk = bytearray(path.read_bytes())
    chunk[len(chunk) // 2] ^= 0xFF
    path.write_bytes(chunk)


async def answer_garbage(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer every request with something that is neither JSON nor signed."""
    await Request(scope, receive).body()
    await Response(b"the weather is none of your business", media_type="application/json")(scope, receive, send)


async def break_off(scope: Scope, receive: Receive, send: Send) -> None:
    """End the connection where the answer should come."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"1")]})


CHEATS = {
    "flips_byte": Cheat(tamper=flip_byte),
    "commits_late": Cheat(hold_back=timedelta(seconds=2)),
    "answers_garbage": Cheat(service=answer_garbage),
    "never_answers": Cheat(service=break_off),
}


def cheat_of(miner: Miner) -> Cheat:
    """The departure that the settings name; none for an honest miner."""
    if miner.cheat is None:
        return Cheat()
    if miner.cheat not in CHEATS:
        raise ConfigurationInvalid(f"miner {miner.name}", found=miner.cheat, expected=sorted(CHEATS))
    return CHEATS[miner.cheat]
