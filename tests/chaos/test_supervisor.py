"""Real processes: they crash, hang, ignore signals, and their launcher is killed."""

import asyncio
import fcntl
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from starter.output import exit_code
from starter.supervisor import GATE, Event, Limits, Process, supervise
from weather.faults import PlatformFault

pytestmark = pytest.mark.chaos
QUICK = Limits(first_delay_seconds=0.01, longest_delay_seconds=0.04, deaths=3, grace_seconds=0.2)

SLEEPER = "import time; time.sleep(600)"
CRASHING = "raise SystemExit(7)"
STUBBORN = """
import os, pathlib, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
pathlib.Path(sys.argv[1]).write_text(str(os.getpid()))
time.sleep(600)
"""
PARENT = """
import pathlib, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
pathlib.Path(sys.argv[1]).write_text(str(child.pid))
child.wait()
"""
LAUNCHER = """
import asyncio, fcntl, os, pathlib, sys
from starter.supervisor import Process, cancel_on_signals, supervise
folder, code = pathlib.Path(sys.argv[1]), sys.argv[2]
async def told(pid):
    print(f"[{pid}, {await asyncio.to_thread((folder / 'pipe').read_text)}]", flush=True)
async def main():
    cancel_on_signals()
    lock = os.open(folder / "lock", os.O_CREAT | os.O_RDWR)
    fcntl.flock(lock, fcntl.LOCK_EX)
    argv = [sys.executable, "-c", code, str(folder / "pipe")]
    async with supervise([Process("p", argv, folder / "p.log", folder / "p.pid", ready=told)], lock=lock) as supervisor:
        await supervisor.wait()
asyncio.run(main())
"""


def python(folder: Path, name: str, code: str, *args: str) -> Process:
    return Process(name, [sys.executable, "-c", code, *args], folder / f"{name}.log", folder / f"{name}.pid")


class Pipe:
    """A named pipe into which a process says that it is ready."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "pipe"
        self.said: list[str] = []
        os.mkfifo(self.path)

    async def ready(self, _pid: int) -> None:
        self.said.append(await asyncio.to_thread(self.path.read_text))


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def gone(pid: int) -> bool:
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    readable, _, _ = select.select([descriptor], [], [], 10)
    os.close(descriptor)
    return bool(readable)


@contextmanager
def launched(folder: Path, code: str) -> Generator[tuple[subprocess.Popen[str], list[int]]]:
    os.mkfifo(folder / "pipe")
    argv = [sys.executable, "-c", LAUNCHER, str(folder), code]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as launcher:
        assert launcher.stdout is not None
        pids = json.loads(launcher.stdout.readline())
        assert all(alive(pid) for pid in pids)
        yield launcher, pids


async def test_the_first_is_ready_before_the_others_start_together_and_all_end_in_reverse(tmp_path: Path) -> None:
    events: list[Event] = []
    processes = [python(tmp_path, name, SLEEPER) for name in ("first", "second", "third")]
    async with supervise(processes, QUICK, on_event=events.append) as supervisor:
        pids = [await supervisor.ready_pid(process.name) for process in processes]
        assert [int(process.pid_file.read_text()) for process in processes] == pids
        assert all(alive(pid) and os.getpgid(pid) == pid for pid in pids)
    told = [f"{event.process} {event.kind}" for event in events]
    assert told[:2] == ["first started", "first ready"]
    assert sorted(told[2:6]) == ["second ready", "second started", "third ready", "third started"]
    assert told[6:] == ["third stopped", "second stopped", "first stopped"]
    assert not any(alive(pid) for pid in pids)
    assert not any(process.pid_file.exists() for process in processes)


async def test_all_but_the_first_are_made_ready_at_once(tmp_path: Path) -> None:
    asked = asyncio.Event()

    async def ask(_pid: int) -> None:
        asked.set()

    async def wait(_pid: int) -> None:
        await asked.wait()

    first, second, third = (python(tmp_path, name, SLEEPER) for name in ("first", "second", "third"))
    async with supervise([first, replace(second, ready=wait), replace(third, ready=ask)], QUICK):
        assert asked.is_set()


async def test_a_killed_process_is_replaced(tmp_path: Path) -> None:
    events: list[Event] = []
    async with supervise([python(tmp_path, "worker", SLEEPER)], QUICK, on_event=events.append) as supervisor:
        killed = await supervisor.ready_pid("worker")
        os.kill(killed, signal.SIGKILL)
        assert await supervisor.ready_pid("worker", other_than=killed) != killed
    kinds = [(event.kind, event.detail) for event in events]
    assert kinds[:5] == [("started", ""), ("ready", ""), ("died", "exit -9"), ("started", ""), ("ready", "")]


async def test_the_children_of_a_process_that_died_are_killed_before_it_is_replaced(tmp_path: Path) -> None:
    pipe = Pipe(tmp_path)
    process = replace(python(tmp_path, "worker", PARENT, str(pipe.path)), ready=pipe.ready)
    async with supervise([process], QUICK) as supervisor:
        killed = await supervisor.ready_pid("worker")
        os.kill(killed, signal.SIGKILL)
        await supervisor.ready_pid("worker", other_than=killed)
        assert [alive(int(pid)) for pid in pipe.said] == [False, True]


async def test_a_process_that_keeps_dying_is_given_up_after_doubling_delays(tmp_path: Path) -> None:
    events: list[Event] = []
    good, crashing = python(tmp_path, "good", SLEEPER), python(tmp_path, "bad", CRASHING)
    with pytest.raises(PlatformFault, match=r"bad died 3 times, last: exit 7; see .*bad.log") as raised:
        async with supervise([good, crashing], QUICK, on_event=events.append) as supervisor:
            await supervisor.wait()
    assert exit_code(raised.value) == 3
    bad = [event for event in events if event.process == "bad" and event.kind in ("died", "started")]
    waits = [(bad[i + 1].time - bad[i].time).total_seconds() for i in (1, 3)]
    assert len(bad) == 6 and waits[0] >= 0.01 and waits[1] >= 0.02
    assert (events[-1].process, events[-1].kind) == ("good", "stopped")


async def test_a_process_that_is_never_ready_counts_as_dead(tmp_path: Path) -> None:
    async def never(_pid: int) -> None:
        await asyncio.Event().wait()

    async def refused(_pid: int) -> None:
        raise ConnectionError("nobody listens")

    for ready, why in ((never, "not ready within 0 s"), (refused, "not ready: nobody listens")):
        process = replace(python(tmp_path, "worker", SLEEPER), ready=ready, ready_seconds=0.05)
        with pytest.raises(PlatformFault, match=why):
            async with supervise([process], QUICK):
                pass


async def test_a_process_that_ignores_sigterm_is_killed_after_the_grace(tmp_path: Path) -> None:
    pipe = Pipe(tmp_path)
    process = replace(python(tmp_path, "stubborn", STUBBORN, str(pipe.path)), ready=pipe.ready)
    async with supervise([process], QUICK) as supervisor:
        pid = await supervisor.ready_pid("stubborn")
    assert not alive(pid)


async def test_output_goes_to_the_log_file_which_makes_room_when_it_is_large(tmp_path: Path) -> None:
    pipe = Pipe(tmp_path)
    code = "import os, sys; print(os.environ['SAID'], flush=True); open(sys.argv[1], 'w').close(); sys.stdin.read()"
    process = replace(python(tmp_path, "p", code + "; " + SLEEPER, str(pipe.path)), ready=pipe.ready)
    process.log_file.write_bytes(b"." * 10_000_001)
    async with supervise([replace(process, environment={"SAID": "hello"})], QUICK):
        assert process.log_file.read_text() == "hello\n"
        assert (tmp_path / "p.log.1").stat().st_size == 10_000_001


def test_killing_the_launcher_leaves_no_process_and_frees_the_lock(tmp_path: Path) -> None:
    with launched(tmp_path, PARENT) as (launcher, pids):
        launcher.kill()
    assert all(gone(pid) for pid in pids)
    with (tmp_path / "lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_all_in_order(tmp_path: Path, number: signal.Signals) -> None:
    with launched(tmp_path, PARENT) as (launcher, pids):
        launcher.send_signal(number)
    assert not any(alive(pid) for pid in pids)
    assert not (tmp_path / "p.pid").exists()


def test_a_second_signal_leaves_at_once(tmp_path: Path) -> None:
    with launched(tmp_path, STUBBORN) as (launcher, pids):
        launcher.send_signal(signal.SIGTERM)
        launcher.send_signal(signal.SIGINT)
    assert launcher.returncode == 130
    assert all(gone(pid) for pid in pids)


def test_a_child_whose_launcher_died_before_it_was_registered_runs_nothing() -> None:
    argv = [sys.executable, "-ISc", GATE, sys.executable, "-c", "print('ran')"]
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=10, check=True)
    assert done.stdout == b""
