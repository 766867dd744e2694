"""Child processes by name: the first is ready before the others start; restarted when they die, never orphaned.

Each child leads its own process group. A guard process is told of the groups through a pipe; when the
launcher ends in any way, `kill -9` too, the pipe closes and the guard kills what is left, grandchildren
included (PR_SET_PDEATHSIG would reach children only, on Linux only, when the forking *thread* ends). The
guard shares the lock of the state folder, so nobody starts there before it is done. A child execs its
program only when the guard knows its group, so there is no moment in which it could be forgotten.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Literal

from weather.faults import PlatformFault

logger = logging.getLogger(__name__)
LOG_FILE_BYTES = 10_000_000
Kind = Literal["started", "ready", "died", "stopped", "gave_up"]
GATE = "import os, sys; os.read(0, 1) and os.execvp(sys.argv[1], sys.argv[1:])"
GUARD = """
import os, signal, sys
groups = []
for line in sys.stdin:
    (groups.append if line[0] == "+" else groups.remove)(int(line[1:]))
for group in reversed(groups):
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        pass
"""


async def _at_once(_pid: int) -> None:
    return None


@dataclass(frozen=True)
class Process:
    """`ready` is given the process id and returns when the process does its work."""

    name: str
    argv: Sequence[str]
    log_file: Path
    pid_file: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    ready: Callable[[int], Awaitable[None]] = _at_once
    ready_seconds: float = 60.0


@dataclass(frozen=True)
class Limits:
    first_delay_seconds: float = 1.0
    longest_delay_seconds: float = 30.0
    deaths: int = 5
    window_seconds: float = 600.0
    grace_seconds: float = 45.0


@dataclass(frozen=True)
class Event:
    time: datetime
    process: str
    kind: Kind
    pid: int
    detail: str = ""


@dataclass
class _Child:
    process: Process
    deaths: list[float] = field(default_factory=list)
    ready_pid: int | None = None
    gave_up: PlatformFault | None = None
    task: asyncio.Task[None] | None = None


def log_event(event: Event) -> None:
    level = logging.WARNING if event.kind in ("died", "gave_up") else logging.INFO
    logger.log(level, "%s (pid %d) %s %s", event.process, event.pid, event.kind, event.detail)


@contextlib.asynccontextmanager
async def supervise(
    processes: Sequence[Process],
    limits: Limits | None = None,
    lock: int | None = None,
    on_event: Callable[[Event], None] = log_event,
) -> AsyncGenerator[Supervisor]:
    """All are ready inside the block and gone after it; the guard keeps the locked descriptor until then."""
    supervisor = Supervisor(processes, limits or Limits(), on_event, () if lock is None else (lock,))
    try:
        await supervisor.start()
        yield supervisor
    finally:
        await supervisor.stop()


class Supervisor:
    def __init__(
        self,
        processes: Sequence[Process],
        limits: Limits,
        on_event: Callable[[Event], None],
        locks: tuple[int, ...],
    ) -> None:
        self._children = {process.name: _Child(process) for process in processes}
        self._limits, self._on_event = limits, on_event
        self._news = asyncio.Condition()
        self._guard = subprocess.Popen(
            (sys.executable, "-ISc", GUARD),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            pass_fds=locks,
        )

    async def start(self) -> None:
        names = list(self._children)
        for together in (names[:1], names[1:]):
            for name in together:
                self._children[name].task = asyncio.create_task(self._keep(self._children[name]), name=name)
            for name in together:
                await self.ready_pid(name)

    async def stop(self) -> None:
        for child in reversed(self._children.values()):
            if child.task is not None:
                child.task.cancel()
                await asyncio.wait([child.task])
        await asyncio.to_thread(self._guard.communicate)

    async def wait(self) -> None:
        """Until a process gives up, which is raised."""
        async with self._news:
            await self._news.wait_for(lambda: any(child.gave_up for child in self._children.values()))
        raise next(child.gave_up for child in self._children.values() if child.gave_up)

    async def ready_pid(self, name: str, other_than: int | None = None) -> int:
        """The process id, as soon as it is ready; with `other_than`, that of its replacement."""
        child = self._children[name]
        async with self._news:
            await self._news.wait_for(lambda: child.gave_up or child.ready_pid not in (None, other_than))
        if child.ready_pid is None:
            raise child.gave_up or PlatformFault(name)
        return child.ready_pid

    async def _keep(self, child: _Child) -> None:
        while child.gave_up is None:
            running = await self._spawn(child.process)
            kind, detail = "stopped", ""
            try:
                detail = await self._attend(child, running)
                kind = "died"
            finally:
                child.ready_pid = None
                await self._end(child.process, running)
                await self._tell(child.process.name, kind, running.pid, detail)
            await asyncio.sleep(await self._count_death(child, detail))

    async def _spawn(self, process: Process) -> asyncio.subprocess.Process:
        with _open_log(process.log_file) as log:
            running = await asyncio.create_subprocess_exec(
                *(sys.executable, "-ISc", GATE, *process.argv),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env={**os.environ, **process.environment},
                start_new_session=True,
            )
        self._register(f"+{running.pid}")
        process.pid_file.write_text(f"{running.pid}\n")
        await self._tell(process.name, "started", running.pid)
        assert running.stdin is not None
        running.stdin.write(b".")
        running.stdin.close()
        return running

    async def _attend(self, child: _Child, running: asyncio.subprocess.Process) -> str:
        gone = asyncio.create_task(running.wait())
        ready = asyncio.ensure_future(child.process.ready(running.pid))
        try:
            seconds = child.process.ready_seconds
            await asyncio.wait({gone, ready}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            if not gone.done() and not ready.done():
                return f"not ready within {seconds:.0f} s"
            if ready.done() and (error := ready.exception()):
                return f"not ready: {error}"
            if not gone.done():
                child.ready_pid = running.pid
                await self._tell(child.process.name, "ready", running.pid)
            return f"exit {await gone}"
        finally:
            gone.cancel()
            ready.cancel()

    async def _end(self, process: Process, running: asyncio.subprocess.Process) -> None:
        if running.returncode is None:
            running.terminate()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(running.wait(), self._limits.grace_seconds)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(running.pid, signal.SIGKILL)
        await running.wait()
        self._register(f"-{running.pid}")
        process.pid_file.unlink(missing_ok=True)

    async def _count_death(self, child: _Child, detail: str) -> float:
        now = asyncio.get_running_loop().time()
        child.deaths = [*(at for at in child.deaths if at > now - self._limits.window_seconds), now]
        deaths, name = len(child.deaths), child.process.name
        if deaths >= self._limits.deaths:
            child.gave_up = PlatformFault(f"{name} died {deaths} times, last: {detail}; see {child.process.log_file}")
            await self._tell(name, "gave_up", 0, str(child.gave_up))
            return 0
        return min(self._limits.first_delay_seconds * 2 ** (deaths - 1), self._limits.longest_delay_seconds)

    async def _tell(self, process: str, kind: Kind, pid: int, detail: str = "") -> None:
        self._on_event(Event(datetime.now(UTC), process, kind, pid, detail))
        async with self._news:
            self._news.notify_all()

    def _register(self, line: str) -> None:
        assert self._guard.stdin is not None
        self._guard.stdin.write(f"{line}\n".encode())
        self._guard.stdin.flush()


def _open_log(path: Path) -> IO[bytes]:
    """Appending; a file that has grown large makes room first."""
    if path.exists() and path.stat().st_size > LOG_FILE_BYTES:
        path.replace(path.with_suffix(".log.1"))
    return path.open("ab")


def cancel_on_signals() -> None:
    """SIGINT or SIGTERM cancels the current task, so that all ends in order."""
    task = asyncio.current_task()
    assert task is not None
    on_signal(task.cancel)


def on_signal(act: Callable[[], object]) -> None:
    """What the first SIGINT or SIGTERM does; a second one leaves at once with 130."""
    loop, acts = asyncio.get_running_loop(), iter((act, lambda: os._exit(130)))

    def signalled() -> None:
        next(acts)()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, signalled)
