"""What an operator does to a live run."""

from abc import ABC, abstractmethod

from temporalio import activity

from activities.messages.operator import Intervene, Intervened


class Operator(ABC):
    """The verbs on the ledger."""

    @activity.defn
    @abstractmethod
    def intervene(self, request: Intervene) -> Intervened:
        """Check the verb, then act and record it in one transaction; a dry run writes nothing."""
