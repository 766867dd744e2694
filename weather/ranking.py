"""Order of the miners of a closed run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Ranked(NamedTuple):
    """A miner with its place; score in nano."""

    rank: int
    hotkey: str
    score: int


def ranking(scores: Mapping[str, int]) -> list[Ranked]:
    """Best first; equal scores share a rank and stand in the order of their hotkeys."""
    ordered = sorted(scores.items(), key=lambda item: (-item[1], item[0]))
    return [Ranked(1 + sum(other > score for other in scores.values()), hotkey, score) for hotkey, score in ordered]
