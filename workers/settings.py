"""Every setting, read once at the composition roots from the environment."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AliasChoices, AwareDatetime, BeforeValidator, Field, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from activities.task_queues import ACQUIRE, CONTROL, DOWNLOADS, MINERS, PUBLISH, SCORE
from protocol.weights import ScheduledPolicy
from weather.faults import ConfigurationInvalid

PREFIX = "BAROGRAPH_"
Mode = Literal["prepare", "evaluate", "hybrid", "control", "publish", "inference", "all"]
QUEUES: dict[str, tuple[str, ...]] = {
    "prepare": (ACQUIRE,),
    "evaluate": (MINERS, DOWNLOADS, SCORE),
    "hybrid": (ACQUIRE, MINERS, DOWNLOADS, SCORE),
    "control": (CONTROL,),
    "publish": (PUBLISH,),
    "all": (CONTROL, ACQUIRE, MINERS, DOWNLOADS, SCORE, PUBLISH),
}
NEEDED = {
    CONTROL: ("ledger_url", "registry_path", "hotkey_path", "validator_port"),
    ACQUIRE: ("era5_zarr_url", "climatology_url"),
    MINERS: ("registry_path", "request_key_path"),
    PUBLISH: ("ledger_url",),
}
REQUIRED = {mode: tuple(name for queue in served for name in NEEDED.get(queue, ())) for mode, served in QUEUES.items()}


def queues(mode: str) -> tuple[str, ...]:
    """What a worker of the mode serves, most urgent first; an unknown mode is an error, never a fallback."""
    if mode not in QUEUES:
        raise ConfigurationInvalid("no validator queue has this mode", found=mode, expected=", ".join(sorted(QUEUES)))
    return QUEUES[mode]


def _split(value: object) -> object:
    return tuple(filter(None, map(str.strip, value.split(",")))) if isinstance(value, str) else value


def _json(value: object) -> object:
    return json.loads(value) if isinstance(value, str) else value


def _in_order(policies: tuple[ScheduledPolicy, ...]) -> tuple[ScheduledPolicy, ...]:
    epochs = [each.effective_from_epoch for each in policies]
    if epochs != sorted({0, *epochs}):
        raise ValueError(f"effective_from_epoch must begin with 0 and rise, found {epochs}")
    return policies


def _whole_seconds(unit: str) -> AfterValidator:
    """The protocol tells instants in whole seconds."""

    def checked(value: float) -> float:
        if timedelta(**{unit: value}).microseconds:
            raise ValueError(f"must be whole seconds, found {value} {unit}")
        return value

    return AfterValidator(checked)


Texts = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
Networks = Annotated[tuple[IPv4Network | IPv6Network, ...], NoDecode, BeforeValidator(_split)]
Policies = Annotated[tuple[ScheduledPolicy, ...], NoDecode, BeforeValidator(_json), AfterValidator(_in_order)]
Port = Annotated[int, Field(ge=1, le=65535)]
Count = Annotated[int, Field(ge=1, le=1_000_000)]
Length = Annotated[float, Field(gt=0, le=1_000_000)]
Pause = Annotated[float, Field(ge=0, le=1_000_000)]
Pair = Annotated[tuple[Pause, Pause], NoDecode, BeforeValidator(_split)]


class Settings(BaseSettings):
    """What is null is required only in some modes, or is switched off."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        frozen=True,
        extra="forbid",
        populate_by_name=True,
        env_ignore_empty=True,
        env_parse_none_str="none",
    )

    network: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$")
    worker_mode: Mode = Field("evaluate", validation_alias=AliasChoices(PREFIX + "WORKER_MODE", "WORKER_MODE"))
    temporal_address: str = Field(validation_alias="TEMPORAL_ADDRESS")
    temporal_namespace: str = Field(validation_alias="TEMPORAL_NAMESPACE")
    object_store: str
    ledger_url: str | None = Field(None, repr=False)

    grid: str = "5p625"
    grid_folder: Path | None = None
    registry_path: Path | None = None
    hotkey_path: Path | None = None
    log_head_path: Path | None = None
    request_key_path: Path | None = None
    max_hotkeys_per_address: Count | None = 8
    egress_allow: Networks = ()
    egress_probe_url: str | None = None
    validator_host: str = "127.0.0.1"
    validator_port: Port | None = None
    ntp_server: str | None = None

    gfs_base_urls: Texts = (
        "https://noaa-gfs-bdp-pds.s3.amazonaws.com",
        "https://nomads.ncep.noaa.gov/pub/data/nccf/com/gfs/prod",
    )
    gfs_product: str = "pgrb2.0p25"
    gfs_entrant: bool = False
    era5_zarr_url: str | None = None
    era5_delay_hours: Annotated[Length, _whole_seconds("hours")] = 126
    climatology_url: str | None = Field(
        None, validation_alias=AliasChoices(PREFIX + "CLIMATOLOGY_URL", "WEATHER_ERA5_CLIMATOLOGY_PATH")
    )
    truth_retry_hours: Length = 6
    truth_budget_days: Length = 10
    second_chance_hours: Pause = 72
    two_person: bool = False

    verification_wait_minutes: Annotated[Length, _whole_seconds("minutes")] = Field(
        60, validation_alias="WEATHER_VERIFICATION_WAIT_MINUTES"
    )
    min_commit_window_minutes: Length = 15
    commit_guard_seconds: Annotated[int, Field(ge=1, le=86_400)] = 1
    seal_grace_seconds: Pause = 60
    heartbeat_timeout_seconds: Length = 60
    call_seconds: Length = 30
    first_byte_seconds: Length = 10
    transfer_base_seconds: Length = 15
    round_pauses_seconds: Pair = (3_600, 18_000)
    attempt_pauses_seconds: Pair = (5, 60)

    round_backend_url: str | None = None
    round_backend_token: str | None = Field(None, repr=False)

    weights_genesis: AwareDatetime = datetime(2026, 1, 1, tzinfo=UTC)
    weights_cadence_seconds: Annotated[Literal[21_600, 43_200, 86_400], BeforeValidator(int)] = 21_600
    weights_tempo_seconds: int = Field(4_320, ge=60, le=604_800)
    weights_buffer_seconds: int = Field(180, ge=0, le=604_800)
    weights_policy: Policies = (ScheduledPolicy(),)
    weights_truth_stage: Literal["as_closed", "latest"] = "as_closed"
    weights_folder: Path | None = None
    weights_http_url: str | None = None
    weights_http_token: str | None = Field(None, repr=False)
    weights_chain: str | None = None
    weights_chain_netuid: int | None = Field(None, ge=0, le=65_535)
    weights_chain_wallet: str | None = None
    weights_chain_wallets: Path = Path("~/.bittensor/wallets")
    weights_disclosure: Literal["at_once", "after_reveal"] = "after_reveal"
    weights_chain_accounts: Annotated[dict[str, str], NoDecode, BeforeValidator(_json)] = {}

    control_workflow_slots: Count = 100
    control_slots: Count = 50
    acquire_slots: Count = 2
    miners_slots: Count = 8
    downloads_slots: Count = 3
    score_slots: Count = 3
    publish_slots: Count = 2

    metrics_host: str = "127.0.0.1"
    metrics_port: Port | None = None
    log_dir: Path | None = None


def load_settings(**overrides: Any) -> Settings:
    """The settings of this process; everything that does not hold is named in one error."""
    mode = overrides.get("worker_mode") or next((v for n in _names("worker_mode") if (v := os.environ.get(n))), None)
    needed = REQUIRED.get(mode or "evaluate", ())
    problems = {
        _names(name)[0]: f"required in mode {mode or 'evaluate'}" for name in needed if not _given(name, overrides)
    }
    try:
        settings = Settings(**overrides)
    except ValidationError as invalid:
        errors = invalid.errors(include_input=False, include_url=False)
        problems |= {
            _names(str(error["loc"][0]))[0]: " ".join(map(str, (*error["loc"][1:], error["msg"]))) for error in errors
        }
    if problems:
        raise ConfigurationInvalid("; ".join(f"{name}: {why}" for name, why in sorted(problems.items())))
    return settings


def _names(field: str) -> tuple[str, ...]:
    known = Settings.model_fields.get(field)
    if known is None:
        return (field,)
    alias = known.validation_alias
    if isinstance(alias, AliasChoices):
        return tuple(str(choice) for choice in alias.choices)
    return (alias if isinstance(alias, str) else PREFIX + field.upper(),)


def _given(field: str, overrides: dict[str, Any]) -> bool:
    return overrides.get(field) is not None or any(os.environ.get(name) for name in _names(field))
