"""Why the launcher does not start or go on: exit code 3 where something is not ready, 4 where it refuses."""

from __future__ import annotations

from typing import ClassVar


class StartRefused(Exception):
    exit_code: ClassVar[int] = 4


class FolderUnusable(StartRefused):
    pass


class FolderInUse(StartRefused):
    pass


class DatabaseCorrupt(StartRefused):
    pass


class ServerVersionForeign(StartRefused):
    pass


class PortInUse(StartRefused):
    exit_code = 3


class ProcessGaveUp(StartRefused):
    exit_code = 3
