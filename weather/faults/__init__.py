"""The error tree: each exception says whose fault it is.

    Fault
    ├── MinerFault        the participant's: costs points
    ├── PolicyRefusal     the rules': may cost points, or nothing was run
    ├── SourceFault       data of GFS or ERA5 absent or wrong: void for all, never for one
    └── PlatformFault     ours: void for all, never for one

The exact class name is the code of a non-score, of a Temporal failure and of an event.
"""

# ruff: noqa: F403, F405 -- the tree is one name space, drawn in three modules

from __future__ import annotations

from weather.faults.miner import *
from weather.faults.others import *
from weather.faults.roots import *


def tree() -> dict[str, type[Fault]]:
    """Every class of the tree by its exact name."""
    classes: dict[str, type[Fault]] = {}
    pending: list[type[Fault]] = [Fault]
    while pending:
        parent = pending.pop()
        classes[parent.__name__] = parent
        pending.extend(parent.__subclasses__())
    return classes
