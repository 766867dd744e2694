"""An NTP server says how far the clock is off; while it is, the HTTP side answers 503 and does not claim to be up."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from adapters.ledger.engine import Ledger
from adapters.ntp import ask_offset
from tests.fixed_clock import FixedClock
from tests.hostile_miner import running
from tests.validator_side import Validator, ledger_file, push
from workers.http_side import keep_marking
from workers.true_clock import TrueClock
from workers.validator_service import validator_app

NOW = datetime(2026, 11, 22, 18, tzinfo=UTC)
AFTER_2036 = datetime(2036, 2, 7, 6, 28, 20, tzinfo=UTC)
Answer = Callable[[bytes], bytes]


def server_time(instant: datetime, *, leap: int = 0, stratum: int = 2) -> Answer:
    seconds = int((instant - datetime(1900, 1, 1, tzinfo=UTC)).total_seconds()) % 2**32
    stamp = seconds.to_bytes(4, "big") + b"\x80\0\0\0"  # and a half
    return lambda question: bytes([leap << 6 | 4 << 3 | 4, stratum]) + bytes(22) + question[40:48] + stamp * 2


@contextmanager
def ntp(answer: Answer) -> Generator[str]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listening:
        listening.bind(("127.0.0.1", 0))

        def serve() -> None:
            question, asker = listening.recvfrom(512)
            listening.sendto(answer(question), asker)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"127.0.0.1:{listening.getsockname()[1]}"
        thread.join()


@pytest.mark.parametrize(
    ("own", "ahead"), [(NOW, 0), (NOW, 600), (NOW, -3), (AFTER_2036, 1), (AFTER_2036 - timedelta(hours=1), 3_600)]
)
def test_the_offset_is_the_servers_time_minus_ours(own: datetime, ahead: int) -> None:
    with ntp(server_time(own + timedelta(seconds=ahead))) as server:
        found = ask_offset(server, FixedClock(own))
    assert abs(found - timedelta(seconds=ahead + 0.5)) < timedelta(milliseconds=1)


@pytest.mark.parametrize(
    "answer",
    [
        server_time(NOW, leap=3),
        server_time(NOW, stratum=0),
        server_time(NOW, stratum=16),
        lambda question: server_time(NOW)(bytes(48)),
        lambda question: b"\x24\2",
    ],
)
def test_what_is_no_answer_of_a_server_that_knows_the_time_says_nothing(answer: Answer) -> None:
    with ntp(answer) as server, pytest.raises(OSError, match="gives no time"):
        ask_offset(server, FixedClock(NOW))


async def test_what_cannot_be_measured_is_as_it_was_last() -> None:
    true_clock, measured = TrueClock(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def fails() -> timedelta:
        loop.call_soon_threadsafe(measured.set)
        raise TimeoutError

    true_clock.offset = timedelta(seconds=2)
    watching = asyncio.create_task(true_clock.watch(fails))
    await measured.wait()
    watching.cancel()
    assert true_clock.off


async def test_while_the_clock_is_off_every_call_is_answered_by_503(tmp_path: Path) -> None:
    file, true_clock = tmp_path / "ledger.sqlite", TrueClock()
    file.write_bytes(ledger_file(tmp_path))
    with Ledger(f"sqlite:///{file}") as ledger, running() as server:
        validator = Validator(server, ledger)
        app = validator_app(validator.config, validator.records, validator.hear, validator.clock)
        validator.clock.advance(timedelta(seconds=1))
        server.app = true_clock.guarding(app)
        for seconds in (1.1, -1.1):
            true_clock.offset = timedelta(seconds=seconds)
            refused = await validator.post(push())
            assert validator.refused(refused, "NotReady").detail == "our clock is off"
            assert int(refused.headers["retry-after"]) > 0
            async with httpx.AsyncClient(trust_env=False) as client:
                validator.refused(await client.get(f"{validator.url}/v/health"), "NotReady")
        true_clock.offset, body = timedelta(seconds=1), push()
        validator.accepted(await validator.post(body), body)


class Marks:
    def __init__(self) -> None:
        self.written = threading.Event()

    def mark(self) -> None:
        self.written.set()


@pytest.mark.parametrize("seconds", [0, 600])
async def test_no_mark_is_written_while_the_clock_is_off(seconds: int) -> None:
    """So an absence is not proved, and the deadline moves."""
    true_clock, marks = TrueClock(), Marks()
    true_clock.offset = timedelta(seconds=seconds)
    marking = asyncio.create_task(keep_marking(marks.mark, true_clock))
    await asyncio.to_thread(marks.written.wait, 0.2)
    marking.cancel()
    with suppress(asyncio.CancelledError):
        await marking
    assert marks.written.is_set() is (seconds == 0)
