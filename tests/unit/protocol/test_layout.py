import json
from pathlib import Path

import pytest

from protocol.layout import Layout, load_layout
from tests.unit.protocol.world import LAYOUT
from weather.faults import ConfigurationInvalid
from weather.variables import VARIABLES


def test_the_object_set_follows_from_the_layout() -> None:
    layout = load_layout("5p625")
    paths = layout.object_set()
    assert len(paths) == 1 + 14 + 5 + 2_760
    assert paths == sorted(set(paths), key=str.encode)
    assert {"zarr.json", "2t/zarr.json", "level/c/0", "msl/c/39/0/0", "z/c/0/12/0/0"} <= set(paths)
    assert "manifest.json" not in paths
    assert layout.chunk_path("t", 850, 12) == "t/c/1/10/0/0"
    assert layout.chunk_path("2t", 0, 240) == "2t/c/39/0/0"
    assert len(layout.fields()) == 69
    assert layout.fields()[:5] == [("2t", 0), ("10u", 0), ("10v", 0), ("msl", 0), ("t", 50)]
    assert layout.raw_bytes == 8_192


def test_sizes_are_bounded_as_the_protocol_says() -> None:
    limits = load_layout("0p25").size_limits
    assert limits["latitude/c/0"] == (5_768, 5_768)
    assert limits["valid_time/c/0"] == (320, 320)
    assert limits["t/zarr.json"] == (1, 65_536)
    assert limits["t/c/0/0/0/0"] == (1, 4_152_960 + 64_890 + 1_024)
    assert sum(greatest for _, greatest in limits.values()) == 11_645_093_100


def test_shipped_variables_are_those_of_the_weather_package() -> None:
    for name in ("0p25", "5p625", "5p625-small"):
        named = {entry.name: (entry.units, entry.standard_name, entry.levels) for entry in load_layout(name).variables}
        assert named == {v.name: (v.unit, v.standard_name, v.has_levels) for v in VARIABLES.values()}
        assert list(named) == list(VARIABLES)


def test_the_small_layout_has_three_levels_and_forty_leads() -> None:
    layout = load_layout("5p625-small")
    assert layout.level_hectopascal == (500, 850, 1000)
    assert layout.lead_time_hours == tuple(range(6, 241, 6))
    assert layout.microdegrees == load_layout("5p625").microdegrees


@pytest.mark.parametrize(("variable", "level", "lead"), [("t", 0, 6), ("2t", 500, 6), ("t", 700, 6), ("t", 500, 18)])
def test_there_is_no_path_for_a_field_that_is_not_in_the_layout(variable: str, level: int, lead: int) -> None:
    with pytest.raises(ValueError):
        LAYOUT.chunk_path(variable, level, lead)


@pytest.mark.parametrize(
    "change",
    [
        {"lead_time_hours": [6, 18]},
        {"lead_time_hours": [0, 6]},
        {"lead_time_hours": []},
        {"level_hectopascal": [850, 500]},
        {"level_hectopascal": [500, 500]},
        {"grid": "Tiny"},
        {"protocol": "barograph/2"},
        {"more": 1},
        {"variables": [LAYOUT.value["variables"][0]] * 2},
        {"variables": [{**LAYOUT.value["variables"][0], "name": "level"}]},
        {"variables": [{**LAYOUT.value["variables"][0], "name": "../x"}]},
        {"microdegrees": {**LAYOUT.value["microdegrees"], "latitude_step": 5_625_000}},
    ],
)
def test_a_layout_that_contradicts_itself_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        Layout.of_value({**LAYOUT.value, **change})


def test_a_grid_may_come_as_data_from_a_folder(tmp_path: Path) -> None:
    (tmp_path / "tiny.layout.json").write_text(json.dumps(LAYOUT.value, indent=1))
    assert load_layout("tiny", tmp_path) == LAYOUT
    assert load_layout("5p625", tmp_path).grid == "5p625"
    with pytest.raises(ConfigurationInvalid, match="0p25, 5p625, 5p625-small, tiny"):
        load_layout("none", tmp_path)
    (tmp_path / "other.layout.json").write_text(json.dumps(LAYOUT.value))
    with pytest.raises(ConfigurationInvalid, match="another grid"):
        load_layout("other", tmp_path)
    (tmp_path / "tiny.layout.json").write_text("{}")
    with pytest.raises(ConfigurationInvalid, match="refused"):
        load_layout("tiny", tmp_path)
