"""What the rules forbid."""

from __future__ import annotations

from weather.faults.roots import PolicyRefusal


class CommitmentLate(PolicyRefusal):
    """Commitment received after the deadline."""


class ExactClone(PolicyRefusal):
    """Forecast fields are those of an earlier commitment."""


class NearClone(PolicyRefusal):
    """Forecast is too close to another miner's."""


class BaselineClone(PolicyRefusal):
    """Forecast is a public forecast."""


class RosterExcluded(PolicyRefusal):
    """Miner was not admitted to the roster."""


class HindcastDeclined(PolicyRefusal):
    """Miner declined a hindcast."""


class VoidedByOperator(PolicyRefusal):
    """An operator voided the scope."""


class InterventionRefused(PolicyRefusal):
    """An operator's verb does not apply to the run as it stands."""


class ConfigurationInvalid(PolicyRefusal):
    """Settings or input do not hold."""


class PrerequisiteMissing(PolicyRefusal):
    """Something that must exist first does not."""
