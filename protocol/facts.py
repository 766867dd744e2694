"""Score facts and fault records: what settles a case, and the documents that prove it."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, FiniteFloat, model_validator

from protocol.canonical import J
from protocol.merkle import tree_hash
from weather.cases import CaseKey
from weather.faults import Cause, HindcastDeclined, tree
from weather.final_score import nano
from weather.round_score import FaultScope, RunRecord

TRUTH_VERSIONS = ("gfs_analysis", "era5t", "era5")
ENTRANT = "baseline/"


class ScoreFact(BaseModel):
    """One case of one miner, scored; only a day-1 component may be without a score.

    Attributes:
        revised_at: when a newer truth scored the case, if its run had closed before.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    run_id: str
    hotkey: str
    pass_: Literal["day1_qc", "era5_final"]
    lead_hours: int
    variable: str
    level: int = 0
    region: str = "global"
    spec_digest: str
    truth_version: Literal["gfs_analysis", "era5t", "era5"]
    generation: int = 1
    kind: Literal["live", "hindcast"]
    valid_time: AwareDatetime
    forecast_digest: str
    truth_digest: str
    climatology_digest: str
    reference_digests: dict[str, str] = {}
    sums: dict[str, FiniteFloat]
    score: float | None = Field(ge=0, le=1)
    checks: dict[str, Any] = {}
    kernel_order: str
    package_version: str
    scored_at: AwareDatetime
    revised_at: AwareDatetime | None = None

    @model_validator(mode="after")
    def _scored(self) -> Self:
        if self.score is None and self.pass_ != "day1_qc":
            raise ValueError("a fact of the final pass has a score")
        return self


class FaultRecord(BaseModel):
    """Why the cases of a scope have no score: `W` is worst for this miner, `V` void for all, whomever it hit."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    run_id: str
    hotkey: str = "*"
    pass_: Literal["day1_qc", "era5_final", "*"] = "*"
    lead_hours: int = -1
    variable: str = "*"
    level: int = -1
    region: str = "*"
    generation: int = 1
    code: str
    cause: Cause
    effect: Literal["W", "V"]
    detail: str = ""
    found: str | None = None
    expected: str | None = None
    attempts: list[Any] = []
    recorded_at: AwareDatetime

    @model_validator(mode="after")
    def _fair(self) -> Self:
        known = tree().get(self.code)
        if known is None or known.cause != self.cause:
            raise ValueError(f"{self.code} is no code of cause {self.cause}")
        if self.effect == "W" and (self.cause not in ("miner", "policy") or self.hotkey == "*"):
            raise ValueError("only a miner or policy fault of one miner costs points")
        if self.effect == "V" and self.cause == "miner":
            raise ValueError("no case is void by a miner's fault")
        return self

    @property
    def costs_the_run(self) -> bool:
        """Whether every case of one miner is worst."""
        scope = (self.pass_, self.lead_hours, self.variable, self.level, self.region)
        return self.effect == "W" and scope == ("*", -1, "*", -1, "*")


class Scored(NamedTuple):
    """As much of a fact as the close needs."""

    hotkey: str
    case: CaseKey
    generation: int
    truth_version: str
    score: float | None


def level_word(level: int) -> str:
    """The level as the ledger writes it: `surface` for 0, `*` for all."""
    return {0: "surface", -1: "*"}.get(level, str(level))


def fact_key(fact: ScoreFact) -> tuple[str, str, str, int, str, int, str, str]:
    """What a fact is about, whatever truth and generation scored it."""
    case = (fact.pass_, fact.lead_hours, fact.variable, fact.level, fact.region, fact.spec_digest)
    return (fact.run_id, fact.hotkey, *case)


def in_force(facts: Iterable[ScoreFact]) -> list[ScoreFact]:
    """The facts that count, in key order: of each case the highest generation, then the latest truth version."""
    ordered = sorted(facts, key=lambda fact: (*fact_key(fact), *_force(fact)))
    return list({fact_key(fact): fact for fact in ordered}.values())


def run_record(roster: Iterable[str], facts: Iterable[Scored], faults: Sequence[FaultScope]) -> RunRecord:
    """The record without members of the roster that declined a hindcast.

    Args:
        roster: hotkeys as frozen.
        facts: superseded ones may be among them; of each case the one in force counts.
        faults: in the order in which they became final.
    """
    in_force = {(fact.hotkey, fact.case): fact for fact in sorted(facts, key=_force)}
    declined = {fault.hotkey for fault in faults if fault.code == HindcastDeclined.__name__}
    return RunRecord(
        roster=tuple(hotkey for hotkey in roster if hotkey not in declined),
        scores={pair: nano(fact.score) for pair, fact in in_force.items() if fact.score is not None},
        faults=faults,
        generations={pair: fact.generation for pair, fact in in_force.items()},
        entrants=tuple(sorted({hotkey for hotkey, _ in in_force if hotkey.startswith(ENTRANT)})),
    )


def fact_document(fact: ScoreFact) -> bytes:
    """Canonical JSON of key, digests, score and sums; numbers by `bits_of`."""
    members = ("run_id", "hotkey", "lead_hours", "variable", "region", "spec_digest", "truth_version", "generation")
    digests = ("forecast_digest", "truth_digest", "climatology_digest", "reference_digests")
    return J(
        {
            **{name: getattr(fact, name) for name in members + digests},
            "pass": fact.pass_,
            "level": level_word(fact.level),
            "score": None if fact.score is None else bits_of(fact.score),
            "sums": {name: bits_of(value) for name, value in fact.sums.items()},
        }
    )


def fault_document(fault: FaultRecord) -> bytes:
    """Canonical JSON of scope, generation, code, cause and effect: what the aggregate obeys."""
    members = ("run_id", "hotkey", "lead_hours", "variable", "region", "generation", "code", "cause", "effect")
    document = {name: getattr(fault, name) for name in members}
    return J({**document, "pass": fault.pass_, "level": level_word(fault.level)})


def facts_digest(facts: Iterable[ScoreFact]) -> str:
    """Root of the tree over the documents of the facts in force, in key order."""
    return tree_hash([fact_document(fact) for fact in in_force(facts)]).hex()


def faults_digest(faults: Iterable[FaultRecord]) -> str:
    """Root of the tree over the documents of all fault records, in byte order."""
    return tree_hash(sorted(map(fault_document, faults))).hex()


def _force(fact: ScoreFact | Scored) -> tuple[int, int]:
    return fact.generation, TRUTH_VERSIONS.index(fact.truth_version)


def bits_of(value: float) -> str:
    """A float64 as 16 hex digits of its big-endian bits."""
    return struct.pack(">d", value).hex()
