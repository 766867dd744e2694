"""In processes of a test only: kills the process, once a seam, before or after the call of a named function.

`SEAMS` are words like `module:name:before` or `module:Class.name:after:2`, the second call in a process; in the folder
`SEAMS_DONE` a file of the module's name says that it happened. `TRUTH_DELAY_SECONDS` is how long after the valid time
the truth of a live run is due, whatever the settings allow.
"""

import importlib.abc
import importlib.machinery
import inspect
import itertools
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
def die_at(name, moment, nth, done):
    """The change that puts a deadly function in the place of `name`."""
    calls = itertools.count(1)

    def die(now, call):
        if now == moment and call >= nth and not done.exists():
            done.touch()
            os.kill(os.getpid(), signal.SIGKILL)

    def change(module):
        holder, _, last = name.rpartition(".")
        owner = getattr(module, holder) if holder else module
        function = getattr(owner, last)

        @wraps(function)
        def deadly(*args, **kwargs):
            die("before", call := next(calls))
            result = function(*args, **kwargs)
            die("after", call)
            return result

        @wraps(function)
        async def deadly_later(*args, **kwargs):
            die("before", call := next(calls))
            result = await function(*args, **kwargs)
            die("after", call)
            return result

        setattr(owner, last, deadly_later if inspect.iscoroutinefunction(function) else deadly)

    return change


def due_when_told(module):
    """The delay of truth that the settings would refuse."""
    defaults, delay = module.Wiring.defaults, timedelta(seconds=int(os.environ["TRUTH_DELAY_SECONDS"]))
    module.Wiring.defaults = lambda wiring: replace(defaults(wiring), truth_delay=delay)


CHANGES = {}
if "TRUTH_DELAY_SECONDS" in os.environ:
    CHANGES["workers.wiring"] = due_when_told
for seam in os.environ.get("SEAMS", "").split():
    place, function_name, when, *number = seam.split(":")
    CHANGES[place] = die_at(function_name, when, int(*number or [1]), Path(os.environ["SEAMS_DONE"]) / place)
sys.meta_path.insert(0, Seams(CHANGES))
