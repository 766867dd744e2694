"""The score spec: every rule of scoring as one content-addressed document."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from decimal import Decimal
from importlib import resources
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from weather.canonical import J, load_json_strict
from weather.faults import ConfigurationInvalid
from weather.grids import Grid, grid_document
from weather.variables import check_field

Word = Annotated[str, StringConstraints(pattern=r"^[ -~]+$")]
Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
DecimalString = Annotated[str, StringConstraints(pattern=r"^(0|-?(0\.[0-9]*[1-9]|[1-9][0-9]*(\.[0-9]*[1-9])?))$")]
Positive = Annotated[int, Field(ge=1)]
Hours = Annotated[tuple[Positive, ...], Field(min_length=1)]
GATE = "gate"


class Rules(BaseModel):
    """Frozen, strict and closed."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Microdegrees(Rules):
    """Points of the grid as integers of 10^-6 degree."""

    latitude_first: int
    latitude_step: int
    latitude_count: int
    longitude_first: int
    longitude_step: int
    longitude_count: int


class GridRules(Rules):
    """The grid, and the digest of its weights table."""

    name: Word
    weights_sha256: Digest
    microdegrees: Microdegrees


class Arithmetic(Rules):
    """The one arithmetic that this code has."""

    accumulator: Literal["float64"]
    order: Literal["four-rows/1"]
    means: Literal["fsum"]
    variance_floor_log2: Literal[-40]


class Day1Field(Rules):
    """Bounds and clone distance of one field, in its unit and its unit squared."""

    variable: Word
    level: int
    minimum: DecimalString
    maximum: DecimalString
    clone_mse: DecimalString

    @model_validator(mode="after")
    def _holds(self) -> Day1Field:
        check_field(self.variable, self.level)
        if Decimal(self.minimum) >= Decimal(self.maximum) or Decimal(self.clone_mse) <= 0:
            raise ValueError(
                f"bounds of {self.variable} at level {self.level} are not ordered, or clone_mse is not > 0"
            )
        return self


class Day1Rules(Rules):
    """The day-1 gate; without lead times there is none."""

    truth: tuple[Literal["gfs_analysis"]]
    analysis: Word
    lead_time_hours: tuple[Positive, ...]
    reference: Word
    public_forecasts: Annotated[tuple[Word, ...], Field(min_length=1, max_length=2)]
    alpha: DecimalString
    beta: DecimalString
    gamma: DecimalString
    clone_clamp: DecimalString
    pattern_correlation: DecimalString
    pass_threshold: DecimalString
    full_clone: Literal["worst_run"]
    fields: Annotated[tuple[Day1Field, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _holds(self) -> Day1Rules:
        _require_sum_of_one(self.alpha, self.beta)
        _require_ascending(self.lead_time_hours)
        if len({(field.variable, field.level) for field in self.fields}) != len(self.fields):
            raise ValueError("a field stands twice in day1_qc")
        if self.public_forecasts[0] != self.reference:
            raise ValueError("the reference must be the first of the public forecasts")
        if Decimal(self.clone_clamp) >= Decimal(self.pass_threshold):
            raise ValueError("clone_clamp must be below pass_threshold")
        return self

    def field(self, variable: str, level: int) -> Day1Field:
        """The rules of one field; KeyError if it has none."""
        return {(field.variable, field.level): field for field in self.fields}[variable, level]


class Group(Rules):
    """Leads that are scored as one part of the run."""

    name: Word
    weight: Positive
    lead_time_hours: Hours


class FinalField(Rules):
    """One weight a level of a variable."""

    variable: Word
    levels: Annotated[tuple[int, ...], Field(min_length=1)]
    weights: tuple[Positive, ...]

    @model_validator(mode="after")
    def _holds(self) -> FinalField:
        _require_ascending(self.levels)
        if len(self.levels) != len(self.weights):
            raise ValueError(f"{self.variable} has {len(self.levels)} levels but {len(self.weights)} weights")
        for level in self.levels:
            check_field(self.variable, level)
        return self


class FinalRules(Rules):
    """The final score."""

    truth: Annotated[tuple[Literal["era5t", "era5"], ...], Field(min_length=1)]
    skill_weight: DecimalString
    acc_weight: DecimalString
    rmse_weight: DecimalString
    acc: Literal["centred", "uncentred"]
    mse: Literal["plain"]
    gate_weight: Positive
    groups: Annotated[tuple[Group, ...], Field(min_length=1, max_length=6)]
    fields: Annotated[tuple[FinalField, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _holds(self) -> FinalRules:
        _require_sum_of_one(self.skill_weight, self.acc_weight, self.rmse_weight)
        _require_ascending(sorted(lead for group in self.groups for lead in group.lead_time_hours))
        if len({group.name for group in self.groups}) != len(self.groups):
            raise ValueError("two groups have one name")
        if len({field.variable for field in self.fields}) != len(self.fields):
            raise ValueError("a variable stands twice in era5_final")
        return self


class ScoreSpec(Rules):
    """All rules of scoring; equal digest means equal rules."""

    document: Literal["barograph/score-spec/1"]
    name: Word
    version: Positive
    climatology: Word
    regions: Annotated[tuple[Word, ...], Field(min_length=1)]
    grid: GridRules
    arithmetic: Arithmetic
    day1_qc: Day1Rules
    era5_final: FinalRules
    baseline: Word
    entrants: tuple[Word, ...]

    @model_validator(mode="after")
    def _holds(self) -> ScoreSpec:
        if self.grid.weights_sha256 != self.grid_value.weights_sha256:
            raise ValueError(f"weights_sha256 is not that of the weights of grid {self.grid.name}")
        if len(set(self.regions)) != len(self.regions):
            raise ValueError("a region stands twice")
        return self

    @classmethod
    def parse(cls, document: bytes) -> ScoreSpec:
        """Read a spec strictly, one spelling of each number; ConfigurationInvalid if its rules do not hold together."""
        try:
            load_json_strict(document, len(document), integer=_integer)
            return cls.model_validate_json(document)
        except ValueError as error:
            raise ConfigurationInvalid(f"score spec refused: {error}") from error

    @property
    def canonical(self) -> bytes:
        """RFC 8785 bytes."""
        return J(self.model_dump(mode="json"))

    @property
    def digest(self) -> str:
        """SHA-256 of the RFC 8785 bytes."""
        return hashlib.sha256(self.canonical).hexdigest()

    @property
    def grid_value(self) -> Grid:
        """The grid on which all fields of this spec stand."""
        return Grid(self.grid.name, **self.grid.microdegrees.model_dump())

    @property
    def final_leads(self) -> tuple[int, ...]:
        """Final lead times in hours, ascending."""
        return tuple(sorted(lead for group in self.era5_final.groups for lead in group.lead_time_hours))

    @property
    def final_fields(self) -> tuple[tuple[str, int], ...]:
        """(variable, level) of each final field, in the order of the spec."""
        return tuple((field.variable, level) for field in self.era5_final.fields for level in field.levels)

    @property
    def day1_fields(self) -> tuple[tuple[str, int], ...]:
        """(variable, level) of each day-1 field, in the order of the spec."""
        return tuple((field.variable, field.level) for field in self.day1_qc.fields)

    def require_layout(self, fields: Iterable[tuple[str, int]], lead_time_hours: Iterable[int]) -> None:
        """Refuse as ConfigurationInvalid a layout that lacks a scored field or lead."""
        lacking = {*self.final_fields, *self.day1_fields} - set(fields)
        late = {*self.final_leads, *self.day1_qc.lead_time_hours} - set(lead_time_hours)
        if lacking or late:
            raise ConfigurationInvalid(
                f"layout lacks fields {sorted(lacking)} and leads {sorted(late)} of the score spec"
            )


def load_rules(grid_name: str, extra: Path | None = None) -> ScoreSpec:
    """The score spec of a grid; ConfigurationInvalid if it has none, or it is refused."""
    spec = ScoreSpec.parse(grid_document(grid_name, "rules", resources.files("weather") / "rules", extra))
    if spec.grid.name != grid_name:
        raise ConfigurationInvalid("score rules are those of another grid", found=spec.grid.name, expected=grid_name)
    return spec


def _require_sum_of_one(*decimals: str) -> None:
    if sum(map(Decimal, decimals)) != 1 or min(map(Decimal, decimals)) < 0:
        raise ValueError(f"shares {', '.join(decimals)} must be ≥ 0 and their sum 1")


def _require_ascending(numbers: Iterable[int]) -> None:
    ordered = list(numbers)
    if ordered != sorted(set(ordered)):
        raise ValueError(f"{ordered} is not strictly ascending")


def _integer(text: str) -> int:
    if text == "-0":
        raise ValueError("-0 is 0 in another spelling")
    return int(text)
