import os
from collections.abc import Iterator

import pytest


@pytest.fixture
def environment() -> Iterator[None]:
    """No setting of ours before, and none that a command left behind."""
    before = dict(os.environ)
    for name in [name for name in before if name.startswith(("BAROGRAPH_", "TEMPORAL_", "WEATHER_", "WORKER_"))]:
        del os.environ[name]
    yield
    os.environ.clear()
    os.environ.update(before)
