"""What is acquired from archives."""

from abc import ABC, abstractmethod

from temporalio import activity

from activities.messages.run import Inputs, Run
from activities.messages.scoring import EnsureTruth, TruthReady


class Sources(ABC):
    """GFS, ERA5 and climatology."""

    @activity.defn
    @abstractmethod
    async def fetch_inputs(self, request: Run) -> Inputs:
        """Fetch and prove the analyses of T0 and T0 − 6 h."""

    @activity.defn
    @abstractmethod
    async def ensure_truth(self, request: EnsureTruth) -> TruthReady:
        """Fetch and prove what a pass is scored against."""
