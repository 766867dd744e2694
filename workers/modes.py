"""Which queues a worker of each mode serves; an unknown mode is an error, never a fallback."""

from __future__ import annotations

from activities import task_queues
from weather.faults import ConfigurationInvalid

_PREPARE = (task_queues.ACQUIRE,)
_EVALUATE = (task_queues.MINERS, task_queues.DOWNLOADS, task_queues.SCORE)
_CONTROL = (task_queues.CONTROL,)
_PUBLISH = (task_queues.PUBLISH,)
QUEUES: dict[str, tuple[str, ...]] = {
    "prepare": _PREPARE,
    "evaluate": _EVALUATE,
    "hybrid": _PREPARE + _EVALUATE,
    "control": _CONTROL,
    "publish": _PUBLISH,
    "all": _CONTROL + _PREPARE + _EVALUATE + _PUBLISH,
}


def queues(mode: str) -> tuple[str, ...]:
    """The queues of a mode that this version has work for."""
    if mode not in QUEUES:
        raise ConfigurationInvalid("no validator queue has this mode", found=mode, expected=", ".join(sorted(QUEUES)))
    return QUEUES[mode]
