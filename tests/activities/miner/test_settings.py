"""The settings of a miner host."""

from __future__ import annotations

from pathlib import Path

import pytest

from miner.cheats import CHEATS, cheat_of
from miner.forecasts import KINDS, check_kind
from miner.settings import Miner, load_settings
from weather.faults import ConfigurationInvalid

TOML = """
port = 8090
temporal_address = "127.0.0.1:7233"
data_dir = "state"
registry = "registry.toml"
gfs_base_url = "http://127.0.0.1:8088/gfs"
climatology_url = "http://127.0.0.1:8088/climatology"

[[miner]]
name = "trade-wind"
key_file = "keys/trade-wind"
base_path = "/trade-wind"
kind = "skilful"
parameters = { skill = 1.2 }

[[miner]]
name = "calm"
key_file = "keys/calm"
base_path = "/calm"
cheat = "flips_byte"
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "miners.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_paths_are_relative_to_the_file_and_what_is_left_out_has_a_default(tmp_path: Path) -> None:
    settings = load_settings(written(tmp_path, TOML))
    assert settings.host == "127.0.0.1" and settings.extra_layouts is None
    assert settings.data_dir == tmp_path / "state"
    first, second = settings.miners
    assert first.key_file == tmp_path / "keys/trade-wind" and first.parameters == {"skill": 1.2}
    assert second.kind == "persistence" and second.cheat == "flips_byte"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("port = 8090", "port = 80900", "port"),
        ("port = 8090", "prot = 8090", "prot"),
        ('"/calm"', '"/trade-wind"', "share a base_path"),
        ('"/calm"', '"calm/"', "base_path"),
        ("[[miner]]", "[[miner", "miners.toml"),
    ],
)
def test_settings_that_do_not_hold_are_refused_by_name(tmp_path: Path, old: str, new: str, said: str) -> None:
    with pytest.raises(ConfigurationInvalid, match=said):
        load_settings(written(tmp_path, TOML.replace(old, new)))


def test_absent_file_is_a_wrong_configuration(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationInvalid, match=r"miners\.toml"):
        load_settings(tmp_path / "miners.toml")


def miner(**members: object) -> Miner:
    return Miner.model_validate({"name": "calm", "key_file": "k", "base_path": "/calm", **members})


def test_every_kind_and_cheat_is_accepted_by_name() -> None:
    for kind in KINDS.keys() - {"grib_file"}:
        check_kind(miner(kind=kind))
    for cheat in CHEATS:
        assert cheat_of(miner(cheat=cheat)) is CHEATS[cheat]


@pytest.mark.parametrize(
    "members",
    [{"kind": "oracle"}, {"kind": "skilful", "parameters": {"skil": 1}}, {"kind": "grib_file"}, {"cheat": "bribes"}],
)
def test_unknown_kinds_cheats_and_parameters_are_refused(members: dict[str, object]) -> None:
    with pytest.raises(ConfigurationInvalid, match="calm"):
        check_kind(miner(**members))
        cheat_of(miner(**members))
