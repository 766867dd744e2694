"""What the miners of one process share, and what each has of its own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from activities.messages.inference import MinerJobInput, Requested
from adapters.catalog import Catalog
from adapters.clock import Clock
from adapters.egress import Egress
from miner.cheats import Cheat
from miner.jobs import Jobs
from miner.settings import Miner
from protocol.identity import PrivateKey
from protocol.registry import Registry

StartJob = Callable[[MinerJobInput, Requested], Awaitable[None]]


@dataclass(frozen=True)
class HostedMiner:
    """One miner: its settings, key, departure from honesty, and the base URL that validators know."""

    settings: Miner
    key: PrivateKey
    cheat: Cheat
    base_url: str


@dataclass(frozen=True)
class Premises:
    """Shared by all miners of the process."""

    registry: Registry
    jobs: Jobs
    data_dir: Path
    catalog: Catalog
    clock: Clock
    egress: Egress
    started_at: datetime

    def store(self, job_id: str) -> Path:
        """Where the objects of a job lie."""
        return self.data_dir / "stores" / job_id
