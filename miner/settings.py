"""The settings of a miner host: one process, many miners, each with its own hotkey and base path."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, model_validator

from weather.faults import ConfigurationInvalid

NAME = r"^[a-z0-9][a-z0-9-]{0,31}$"


def _beside(path: Path, read: ValidationInfo) -> Path:
    """A path as the file means it, in whose folder it begins."""
    return Path((read.context or {}).get("folder", "")) / path


Beside = Annotated[Path, AfterValidator(_beside)]


class Miner(BaseModel):
    """One miner: who it is, how it forecasts and, in the demo, how it cheats.

    Attributes:
        key_file: its private key, 32 bytes of mode 0600.
        base_path: below which it is served; validators register `public_url` and this as its base URL.
        kind: of its forecast, a name in `miner.forecasts.KINDS`.
        parameters: keyword arguments of that kind.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=NAME)
    key_file: Beside
    base_path: str = Field(pattern=r"^(/[A-Za-z0-9_-]+)+$")
    kind: str = "persistence"
    cheat: str | None = None
    parameters: dict[str, float | int | str] = {}


class MinerSettings(BaseModel):
    """The content of `miners.toml`; paths are relative to the file.

    Attributes:
        public_url: where validators find the base paths, if that is not host and port; what is signed has it.
        data_dir: stores, fetched inputs and the database; it must outlive the process.
        registry: `registry.toml` with the network and the validators that are answered; read at the start.
        gfs_base_url: archive in NOAA's layout, from which the inputs of a call are read.
        climatology_url: Zarr store in the layout of WeatherBench 2, opened only by the kinds that use it.
        extra_layouts: folder of `<grid>.layout.json` beside the shipped ones.
        egress_allow: networks besides the public ones in which validators may be.
        activity_threads: how many steps run at once, over all miners.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    host: str = "127.0.0.1"
    port: int = Field(ge=0, le=65535)
    public_url: str | None = None
    metrics_port: int | None = Field(default=None, ge=1, le=65535)
    temporal_address: str
    temporal_namespace: str = "default"
    data_dir: Beside
    registry: Beside
    gfs_base_url: str
    gfs_product: str = "pgrb2.0p25"
    climatology_url: str
    extra_layouts: Beside | None = None
    egress_allow: tuple[str, ...] = ("127.0.0.0/8", "::1/128")
    activity_threads: int = Field(default=4, ge=1)
    miners: tuple[Miner, ...] = Field(alias="miner", min_length=1)

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        for what in ("name", "base_path"):
            values = [getattr(miner, what) for miner in self.miners]
            if len(set(values)) != len(values):
                raise ValueError(f"two miners share a {what}")
        return self


def load_settings(path: Path) -> MinerSettings:
    """Read `miners.toml`.

    Raises:
        ConfigurationInvalid: no TOML, an unknown or missing member, or a wrong value.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
        return MinerSettings.model_validate(document, context={"folder": path.resolve().parent})
    except (OSError, tomllib.TOMLDecodeError, ValidationError) as error:
        raise ConfigurationInvalid(f"{path.name}: {error}") from error
