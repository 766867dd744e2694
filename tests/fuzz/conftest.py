"""What holds of every fuzz test: the parent stays small, and `make fuzz` repeats it until its share of time is over."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis.strategies import text

from tests.fuzz.profiles import SECONDS

MOST_GROWTH_BYTES = 64 << 20


@pytest.fixture(scope="module", autouse=True)
def small_parent() -> Iterator[None]:
    """Whatever the bytes announce, this process grows by less than 64 MiB, at its peak and not only at the end."""
    any_text()
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    before = memory_bytes("VmRSS")
    yield
    grown = memory_bytes("VmHWM") - before
    assert grown < MOST_GROWTH_BYTES, f"grown by {grown >> 20} MiB"


@settings(max_examples=1, database=None, deadline=None)
@given(text())
def any_text(_text: str) -> None:
    """On a fresh checkout the first text builds the table of all characters, which takes 200 MiB once."""


def memory_bytes(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = [line for line in lines if line.startswith(f"{name}:")]
    return int(line.split()[1]) * 1024


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """Repeat a property with new examples while its share lasts."""
    end = time.monotonic() + _share(pyfuncitem.session)
    outcome = yield
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    while hasattr(pyfuncitem.obj, "hypothesis") and time.monotonic() < end:
        pyfuncitem.obj(**arguments)
    return outcome


def _share(session: pytest.Session) -> float:
    properties = sum(hasattr(getattr(item, "obj", None), "hypothesis") for item in session.items)
    return SECONDS * int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")) / max(properties, 1)
