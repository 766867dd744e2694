"""Layouts and score specs by grid, shipped or from a folder of one's own."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TypeVar

from protocol.layout import Layout, load_layout
from weather.faults import ConfigurationInvalid
from weather.score_spec import ScoreSpec, load_rules


class Catalog:
    """Every rule document that this deployment knows."""

    def __init__(self, folder: Path | None = None) -> None:
        self.layout = cache(lambda grid: load_layout(grid, folder))
        self.rules = cache(lambda grid: self._rules(grid, folder))

    def pinned_layout(self, grid: str, digest: str) -> Layout:
        """The layout that a run was opened with."""
        return _same(self.layout(grid), digest, f"layout of {grid}")

    def pinned_rules(self, grid: str, digest: str) -> ScoreSpec:
        """The score spec that a run was opened with."""
        return _same(self.rules(grid), digest, f"score spec of {grid}")

    def _rules(self, grid: str, folder: Path | None) -> ScoreSpec:
        rules, layout = load_rules(grid, folder), self.layout(grid)
        rules.require_layout(layout.fields(), layout.lead_time_hours)
        return rules


D = TypeVar("D", Layout, ScoreSpec)


def _same(document: D, digest: str, name: str) -> D:
    if document.digest != digest:
        raise ConfigurationInvalid(f"the {name} is not that of the run", found=document.digest, expected=digest)
    return document
