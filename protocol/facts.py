"""Score facts and fault records: what settles a case, and the documents that prove it."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Any, Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, FiniteFloat, model_validator

from protocol.canonical import J
from protocol.merkle import tree_hash
from weather.faults import tree

TRUTH_VERSIONS = ("gfs_analysis", "era5t", "era5")
Cause = Literal["miner", "policy", "source", "platform"]


class ScoreFact(BaseModel):
    """One case of one miner, scored; only a day-1 component may be without a score."""

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


def level_word(level: int) -> str:
    """The level as the ledger writes it: `surface` for 0, `*` for all."""
    return {0: "surface", -1: "*"}.get(level, str(level))


def fact_key(fact: ScoreFact) -> tuple[str, str, str, int, str, int, str, str]:
    """What a fact is about, whatever truth and generation scored it."""
    case = (fact.pass_, fact.lead_hours, fact.variable, fact.level, fact.region, fact.spec_digest)
    return (fact.run_id, fact.hotkey, *case)


def in_force(facts: Iterable[ScoreFact]) -> list[ScoreFact]:
    """The facts that count, in key order: of each case the highest generation, then the latest truth version."""

    def order(fact: ScoreFact) -> tuple[object, ...]:
        return (*fact_key(fact), fact.generation, TRUTH_VERSIONS.index(fact.truth_version))

    return list({fact_key(fact): fact for fact in sorted(facts, key=order)}.values())


def fact_document(fact: ScoreFact) -> bytes:
    """Canonical JSON of key, digests, score and sums; a float64 is 16 hex digits of its big-endian bits."""
    members = ("run_id", "hotkey", "lead_hours", "variable", "region", "spec_digest", "truth_version", "generation")
    digests = ("forecast_digest", "truth_digest", "climatology_digest", "reference_digests")
    return J(
        {
            **{name: getattr(fact, name) for name in members + digests},
            "pass": fact.pass_,
            "level": level_word(fact.level),
            "score": None if fact.score is None else _bits(fact.score),
            "sums": {name: _bits(value) for name, value in fact.sums.items()},
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


def _bits(value: float) -> str:
    return struct.pack(">d", value).hex()
