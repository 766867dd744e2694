"""The score spec: its digests, its strictness, its checks."""

import copy
import hashlib
import json
import math
from importlib import resources
from itertools import pairwise

import numpy as np
import pytest
import rfc8785

from tests.unit.weather.toy import SMALL_GLOBE
from weather.faults import ConfigurationInvalid
from weather.score_spec import ScoreSpec, load_rules
from weather.variables import LEVELS

DIGESTS = {
    "0p25": "dfe7a7b16d057e4d54dcae8a55fcc796b878a6c128dbbd7a8aed85f508158cf8",
    "5p625": "f61947ab120bd03f6236f28234d9fa386ae00beaa7a543102b951dbbffbafc2b",
}
SHIPPED = {name: (resources.files("weather") / "rules" / f"{name}.json").read_bytes() for name in DIGESTS}
DOCUMENT = json.loads(SHIPPED["5p625"])


def changed(path: str, value: object) -> bytes:
    """The default document with the member at a dotted path replaced."""
    document = copy.deepcopy(DOCUMENT)
    *parents, last = [int(step) if step.isdigit() else step for step in path.split(".")]
    place = document
    for step in parents:
        place = place[step]
    place[last] = value
    return json.dumps(document).encode()


def leaves(value: object, path: str = "") -> list[str]:
    if isinstance(value, dict | list):
        steps = value.items() if isinstance(value, dict) else enumerate(value)
        return [leaf for step, inner in steps for leaf in leaves(inner, f"{path}.{step}".lstrip("."))]
    return [path]


@pytest.mark.parametrize(("name", "size"), [("0p25", 2531), ("5p625", 2521)])
def test_shipped_rules_are_canonical_and_have_the_digests_of_the_specification(name, size):
    spec = load_rules(name)
    assert spec.canonical == SHIPPED[name]
    assert len(spec.canonical) == size
    assert spec.digest == hashlib.sha256(SHIPPED[name]).hexdigest() == DIGESTS[name]


def test_spacing_and_order_of_members_do_not_change_the_digest():
    shuffled = json.dumps(dict(reversed(DOCUMENT.items())), indent=3)
    assert ScoreSpec.parse(shuffled.encode()).digest == DIGESTS["5p625"]


def test_the_small_grid_scores_all_variables_at_three_levels_with_equal_weight():
    spec = load_rules("5p625-small")
    assert spec.grid_value.shape == (32, 64)
    assert len(spec.final_fields) == 4 + 5 * 3
    assert {sum(field.weights) for field in spec.era5_final.fields} == {1900}


@pytest.mark.parametrize("path", leaves(DOCUMENT))
def test_any_changed_member_changes_the_digest_or_is_refused(path):
    value = DOCUMENT
    for step in path.split("."):
        value = value[int(step) if step.isdigit() else step]
    other = value + 1 if isinstance(value, int) else value + "1"
    try:
        assert ScoreSpec.parse(changed(path, other)).digest != DIGESTS["5p625"]
    except ConfigurationInvalid as refusal:
        assert "refused" in refusal.detail


@pytest.mark.parametrize("name", [*DOCUMENT, "day1_qc.alpha", "era5_final.groups.0.weight", "grid.microdegrees"])
def test_a_removed_member_is_refused(name):
    document = copy.deepcopy(DOCUMENT)
    *parents, last = [int(step) if step.isdigit() else step for step in name.split(".")]
    place = document
    for step in parents:
        place = place[step]
    del place[last]
    with pytest.raises(ConfigurationInvalid, match="missing"):
        ScoreSpec.parse(json.dumps(document).encode())


@pytest.mark.parametrize("path", ["comment", "day1_qc.comment", "era5_final.fields.0.comment"])
def test_an_added_member_is_refused(path):
    with pytest.raises(ConfigurationInvalid, match="comment"):
        ScoreSpec.parse(changed(path, "x"))


@pytest.mark.parametrize(
    "text", ["0.60", "1e-3", "-0", "0.0", ".6", "+0.6", "00.6", "6.", " 0.6", "0.6\n", "NaN", "٠.٦", 0.6, 1, True, None]
)
def test_each_number_has_one_spelling(text):
    with pytest.raises(ConfigurationInvalid):
        ScoreSpec.parse(changed("day1_qc.alpha", text))


@pytest.mark.parametrize(
    "number", ["0.6", "1.0", "1e3", "NaN", "Infinity", "-0", "9007199254740992", "true", '"1"'], ids=str
)
def test_only_integers_below_two_to_the_53_are_numbers(number):
    for member in (b'"version":1', b'"level":0'):
        name = member.partition(b":")[0].decode()
        with pytest.raises(ConfigurationInvalid):
            ScoreSpec.parse(SHIPPED["5p625"].replace(member, f"{name}:{number}".encode()))


@pytest.mark.parametrize(
    "text",
    [
        SHIPPED["5p625"].replace(b'"version":1', b'"version":1,"version":1'),
        SHIPPED["5p625"][:-1],
        SHIPPED["5p625"] + b"x",
        b"[]",
        b"",
        b"\xff",
    ],
    ids=["duplicate member", "cut", "surplus", "not an object", "empty", "not text"],
)
def test_what_is_not_one_json_object_without_duplicates_is_refused(text):
    with pytest.raises(ConfigurationInvalid):
        ScoreSpec.parse(text)


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        ("name", "défaut", "signed"),
        ("day1_qc.alpha", "0.5", "sum 1"),
        ("era5_final.acc_weight", "0.4", "sum 1"),
        ("day1_qc.fields.0.minimum", "340", "ordered"),
        ("day1_qc.fields.0.clone_mse", "0", "clone_mse"),
        ("day1_qc.clone_clamp", "0.1", "clone_clamp"),
        ("day1_qc.reference", "icon", "reference"),
        ("era5_final.fields.4.levels.0", 100, "ascending"),
        ("era5_final.fields.4.levels.0", 70, "no field"),
        ("era5_final.fields.4.weights.0", 0, "greater"),
        ("era5_final.fields.0.weights", [1, 2], "weights"),
        ("era5_final.fields.1.variable", "2t", "twice"),
        ("era5_final.groups.1.lead_time_hours.0", 72, "ascending"),
        ("era5_final.groups.1.name", "days-1-3", "one name"),
        ("grid.weights_sha256", "0" * 64, "weights_sha256"),
        ("grid.microdegrees.latitude_step", 5_625_000, "north to south"),
        ("regions", ["global", "global"], "twice"),
    ],
)
def test_rules_that_do_not_hold_together_are_refused(path, value, reason):
    with pytest.raises(ConfigurationInvalid, match=reason):
        ScoreSpec.parse(changed(path, value))


def test_a_weights_table_made_with_a_library_sine_is_refused_by_its_digest():
    latitudes = SMALL_GLOBE.latitudes
    edges = [math.sin(math.radians(edge)) for edge in np.append(latitudes + 2.8125, -90.0)]
    table = np.array([(north - south) / 128 for north, south in pairwise(edges)])
    assert np.allclose(table, SMALL_GLOBE.row_weights, rtol=1e-12)
    with pytest.raises(ConfigurationInvalid, match="weights_sha256"):
        ScoreSpec.parse(changed("grid.weights_sha256", hashlib.sha256(table.astype("<f8").tobytes()).hexdigest()))


def test_an_extra_folder_gives_rules_for_any_grid(tmp_path):
    document = copy.deepcopy(DOCUMENT)
    document["grid"]["name"] = "mine"
    (tmp_path / "mine.rules.json").write_bytes(rfc8785.dumps(document))
    (tmp_path / "other.rules.json").write_bytes(rfc8785.dumps(document))
    assert load_rules("mine", tmp_path).grid_value.name == "mine"
    assert load_rules("5p625", tmp_path).digest == DIGESTS["5p625"]
    with pytest.raises(ConfigurationInvalid, match="another grid"):
        load_rules("other", tmp_path)
    with pytest.raises(ConfigurationInvalid, match="0p25, 5p625, 5p625-small, mine, other"):
        load_rules("unknown", tmp_path)


def test_a_layout_that_lacks_a_scored_field_or_lead_is_refused():
    spec = load_rules("5p625")
    surface = [(name, 0) for name in ("2t", "10u", "10v", "msl")]
    fields = surface + [(name, level) for name in "tuvqz" for level in LEVELS]
    spec.require_layout(fields, range(6, 246, 6))
    with pytest.raises(ConfigurationInvalid, match=r"\('z', 1000\)"):
        spec.require_layout(fields[:-1], range(6, 246, 6))
    with pytest.raises(ConfigurationInvalid, match="240"):
        spec.require_layout(fields, range(6, 240, 6))
