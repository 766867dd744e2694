"""In processes of a test only: kills the process once, before or after a named function of an adapter is called.

`SEAM` is `module:name:before` or `module:Class.name:after`; `SEAM_DONE` is the file that says that it happened.
`TRUTH_DELAY_HOURS` lets the truth of a live run be due at once.
"""

import importlib.abc
import importlib.machinery
import inspect
import os
import signal
import sys
from dataclasses import replace
from datetime import timedelta
from functools import wraps
from pathlib import Path


class Seams(importlib.abc.MetaPathFinder):
    """Changes a module as soon as it is loaded."""

    def __init__(self, changes):
        self.changes = changes

    def find_spec(self, name, path, target=None):
        if name not in self.changes:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        assert spec is not None and spec.loader is not None
        load, change = spec.loader.exec_module, self.changes.pop(name)

        def exec_module(module):
            load(module)
            change(module)

        setattr(spec.loader, "exec_module", exec_module)  # noqa: B010 -- a loader of this one module
        return spec


# long: one wrapper for functions and one for coroutines
def die_at(name, moment, done):
    """The change that puts a deadly function in the place of `name`."""

    def die(now):
        if now == moment and not done.exists():
            done.touch()
            os.kill(os.getpid(), signal.SIGKILL)

    def change(module):
        holder, _, last = name.rpartition(".")
        owner = getattr(module, holder) if holder else module
        call = getattr(owner, last)

        @wraps(call)
        def deadly(*args, **kwargs):
            die("before")
            result = call(*args, **kwargs)
            die("after")
            return result

        @wraps(call)
        async def deadly_later(*args, **kwargs):
            die("before")
            result = await call(*args, **kwargs)
            die("after")
            return result

        setattr(owner, last, deadly_later if inspect.iscoroutinefunction(call) else deadly)

    return change


def due_at_once(module):
    """Truth is asked for at once, whatever the settings allow."""
    defaults, delay = module.Wiring.defaults, timedelta(hours=float(os.environ["TRUTH_DELAY_HOURS"]))
    module.Wiring.defaults = lambda wiring: replace(defaults(wiring), truth_delay=delay)


CHANGES = {}
if "TRUTH_DELAY_HOURS" in os.environ:
    CHANGES["workers.wiring"] = due_at_once
if os.environ.get("SEAM"):
    MODULE, NAME, MOMENT = os.environ["SEAM"].split(":")
    CHANGES[MODULE] = die_at(NAME, MOMENT, Path(os.environ["SEAM_DONE"]))
sys.meta_path.insert(0, Seams(CHANGES))
