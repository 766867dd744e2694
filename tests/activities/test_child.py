from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from adapters.child import Child, ChildFailed, ChildRefused

TARGET = "tests.activities.hostile:obey"


@pytest.fixture
def pool() -> Iterator[Child]:
    with Child(TARGET, memory_mib=256, wall_seconds=1.5, cpu_seconds=1) as pool:
        yield pool


def test_bytes_come_back_and_the_child_stays(pool: Child) -> None:
    payload = os.urandom(3_000_000)
    assert pool.call(b"echo " + payload) == payload
    assert pool.call(b"pid") == pool.call(b"pid")


@pytest.mark.parametrize("order", [b"loop", b"sleep", b"abort"])
def test_a_child_that_loops_sleeps_or_aborts_is_replaced(pool: Child, order: bytes) -> None:
    """AT-X7: its process is gone, and the next attempt is in another one."""
    before = int(pool.call(b"pid"))
    started = time.monotonic()
    with pytest.raises(ChildFailed):
        pool.call(order)
    assert time.monotonic() - started < pool.wall_seconds + 5
    with pytest.raises(ProcessLookupError):
        os.kill(before, 0)
    assert int(pool.call(b"pid")) != before


def test_a_child_that_takes_two_gigabytes_is_stopped_and_the_next_call_succeeds(pool: Child) -> None:
    with pytest.raises(ChildRefused, match="MemoryError"):
        pool.call(b"allocate 2000000000")
    assert pool.call(b"echo again") == b"again"


def test_a_refusal_carries_its_class_and_message_and_keeps_the_child(pool: Child) -> None:
    before = pool.call(b"pid")
    with pytest.raises(ChildRefused) as refused:
        pool.call(b"refuse not a GRIB")
    assert (refused.value.code, refused.value.message) == ("ValueError", "not a GRIB")
    assert pool.call(b"pid") == before


def test_an_unforeseen_exception_is_named_and_ends_the_child(pool: Child) -> None:
    before = pool.call(b"pid")
    with pytest.raises(ChildRefused, match="KeyError: 'lost'"):
        pool.call(b"stumble lost")
    assert pool.call(b"pid") != before


def test_a_target_that_does_not_exist_is_named() -> None:
    with (
        Child("tests.activities.hostile:absent", memory_mib=256, wall_seconds=1, cpu_seconds=1) as pool,
        pytest.raises(ChildRefused, match="AttributeError"),
    ):
        pool.call(b"echo")


def test_a_child_has_no_keys_in_its_environment_and_ignores_an_interrupt(pool: Child) -> None:
    os.environ["BAROGRAPH_TEST_SECRET"] = "value"
    try:
        names = pool.call(b"environment").decode().split()
    finally:
        del os.environ["BAROGRAPH_TEST_SECRET"]
    assert set(names) <= {"PATH", "PYTHONPATH", "OPENBLAS_NUM_THREADS", "LC_CTYPE"}
    assert pool.call(b"interrupt") == b"alive"


def test_a_child_is_renewed_and_serves_many_threads() -> None:
    with (
        Child(TARGET, memory_mib=256, wall_seconds=5, cpu_seconds=5, renew_after=3) as pool,
        ThreadPoolExecutor(4) as threads,
    ):
        answers = list(threads.map(lambda n: pool.call(b"echo %d" % n), range(20)))
        pids = list(threads.map(lambda _: pool.call(b"pid"), range(9)))
    assert answers == [b"%d" % n for n in range(20)]
    assert len(set(pids)) >= 3


def test_children_end_with_their_parent() -> None:
    program = (
        "import os, sys, time\nfrom adapters.child import Child\n"
        f"pool = Child({TARGET!r}, memory_mib=256, wall_seconds=5, cpu_seconds=5)\n"
        "print(pool.call(b'pid').decode(), flush=True)\ntime.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = os.pidfd_open(int(parent.stdout.readline()))
        parent.send_signal(signal.SIGKILL)
        ended, _, _ = select.select([child], [], [], 10)
        os.close(child)
    assert ended, "the child outlived its parent by 10 s"
