"""One set of properties, two lengths: `ci` inside `make test`, `fuzz` in `make fuzz` where FUZZ_SECONDS is set."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from hypothesis import HealthCheck, settings

SLOWEST_EXAMPLE = timedelta(seconds=5)
SECONDS = float(os.environ.get("FUZZ_SECONDS", "0"))

_CALM = (HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture)
settings.register_profile(
    "ci", deadline=SLOWEST_EXAMPLE, derandomize=True, suppress_health_check=_CALM, print_blob=True
)
settings.register_profile("fuzz", settings.get_profile("ci"), derandomize=False)


def bounded(examples: int) -> Callable[[Any], Any]:
    """So many examples a round; `ci` plays one and the same round, `fuzz` new ones until its time is over."""
    return settings(settings.get_profile("fuzz" if SECONDS else "ci"), max_examples=examples)
