import os
from collections.abc import Iterator
from ipaddress import IPv4Network, IPv6Network

import pytest
from pydantic_core import PydanticUndefinedType

from weather.faults import ConfigurationInvalid
from workers.settings import Settings, load_settings

GIVEN = {
    "BAROGRAPH_NETWORK": "test",
    "BAROGRAPH_OBJECT_STORE": "file:///tmp/objects",
    "BAROGRAPH_REGISTRY_PATH": "registry.toml",
    "BAROGRAPH_REQUEST_KEY_PATH": "request.key",
    "TEMPORAL_ADDRESS": "127.0.0.1:7233",
    "TEMPORAL_NAMESPACE": "default",
}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in [name for name in os.environ if name.startswith(("BAROGRAPH_", "TEMPORAL_", "WEATHER_", "WORKER_"))]:
        monkeypatch.delenv(name)
    for name, value in GIVEN.items():
        monkeypatch.setenv(name, value)
    yield


def test_defaults_hold_and_a_mode_that_is_not_given_is_evaluate() -> None:
    settings = load_settings()
    assert (settings.worker_mode, settings.grid, settings.seal_grace_seconds) == ("evaluate", "5p625", 60)


def test_lists_are_split_at_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BAROGRAPH_EGRESS_ALLOW", "127.0.0.0/8, ::1/128")
    monkeypatch.setenv("BAROGRAPH_GFS_BASE_URLS", "http://127.0.0.1:1/a,")
    settings = load_settings()
    assert settings.egress_allow == (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128"))
    assert settings.gfs_base_urls == ("http://127.0.0.1:1/a",)


def test_a_limit_can_be_taken_away(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings().max_hotkeys_per_address == 8
    monkeypatch.setenv("BAROGRAPH_MAX_HOTKEYS_PER_ADDRESS", "none")
    assert load_settings().max_hotkeys_per_address is None


def test_the_ancestors_names_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEATHER_VERIFICATION_WAIT_MINUTES", "0.5")
    monkeypatch.setenv("WORKER_MODE", "inference")
    monkeypatch.setenv("WEATHER_ERA5_CLIMATOLOGY_PATH", "clim.zarr")
    settings = load_settings()
    assert settings.verification_wait_minutes == 0.5
    assert (settings.worker_mode, settings.climatology_url) == ("inference", "clim.zarr")


def test_an_unknown_mode_names_the_known_ones() -> None:
    with pytest.raises(ConfigurationInvalid, match=r"BAROGRAPH_WORKER_MODE: .*'prepare'.*'hybrid'.*'all'"):
        load_settings(worker_mode="standby")


def test_every_setting_that_does_not_hold_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BAROGRAPH_COMMIT_GUARD_SECONDS", "0")
    monkeypatch.delenv("TEMPORAL_ADDRESS")
    monkeypatch.setenv("BAROGRAPH_OBJECT_STORE", "")
    with pytest.raises(ConfigurationInvalid) as raised:
        load_settings(worker_mode="control", network="Bad!")
    named = {part.partition(":")[0] for part in raised.value.detail.split("; ")}
    assert named == {
        "BAROGRAPH_COMMIT_GUARD_SECONDS",
        "BAROGRAPH_HOTKEY_PATH",
        "BAROGRAPH_LEDGER_URL",
        "BAROGRAPH_NETWORK",
        "BAROGRAPH_OBJECT_STORE",
        "BAROGRAPH_VALIDATOR_PORT",
        "TEMPORAL_ADDRESS",
    }


def test_no_password_is_in_an_error_or_in_the_printed_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BAROGRAPH_LEDGER_URL", "postgresql://u:hunter2@h/l")
    assert "hunter2" not in repr(load_settings())
    monkeypatch.setenv("BAROGRAPH_METRICS_PORT", "hunter2")
    with pytest.raises(ConfigurationInvalid) as raised:
        load_settings()
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("TEMPO_SECONDS", "0 -1 59 nan inf 1e300 999999999"),
        ("BUFFER_SECONDS", "-1 nan inf 999999999"),
        ("CADENCE_SECONDS", "0 -1 3600 nan inf"),
        ("CHAIN_NETUID", "-1 nan 65536"),
        ("GENESIS", "x 2026-01-01T00:00:00 inf"),
        ("POLICY", 'x [] {} [{"effective_from_epoch":1}] [{},{}] [{"policy":{"policy":"other"}}]'),
    ],
)
def test_a_setting_of_weights_that_does_not_hold_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str, values: str
) -> None:
    """AT-W6 for what belongs to an epoch."""
    for value in values.split(" "):
        monkeypatch.setenv(f"BAROGRAPH_WEIGHTS_{name}", value)
        with pytest.raises(ConfigurationInvalid, match=f"BAROGRAPH_WEIGHTS_{name}"):
            load_settings()


NUMBERS = sorted(
    name
    for name, field in Settings.model_fields.items()
    if name.endswith(("_slots", "_port", "_seconds", "_minutes", "_hours", "_days", "_address", "_netuid"))
    and not isinstance(field.default, str | PydanticUndefinedType)
)


NONE_IS_A_NUMBER = {
    "attempt_pauses_seconds",
    "round_pauses_seconds",
    "seal_grace_seconds",
    "second_chance_hours",
    "weights_buffer_seconds",
    "weights_chain_netuid",
}


@pytest.mark.parametrize("name", NUMBERS)
def test_a_number_that_does_not_hold_is_named(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """AT-W6 for every number: the error that ends a process with exit code 2 has its name."""
    alias = Settings.model_fields[name].validation_alias or f"BAROGRAPH_{name.upper()}"
    for value in ("-1", "nan", "inf", "1e300", "x", *(() if name in NONE_IS_A_NUMBER else ("0",))):
        monkeypatch.setenv(str(alias), f"{value},{value}" if "pauses" in name else value)
        with pytest.raises(ConfigurationInvalid, match=str(alias)):
            load_settings()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("BAROGRAPH_ERA5_DELAY_HOURS", "0.0001"),
        ("WEATHER_VERIFICATION_WAIT_MINUTES", "0.251"),
        ("BAROGRAPH_COMMIT_GUARD_SECONDS", "1.5"),
    ],
)
def test_an_instant_of_the_protocol_that_would_have_a_fraction_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationInvalid, match=name):
        load_settings()


@pytest.mark.parametrize("value", ["0", "-1", "401", "NaN", "Infinity", "1e300"])
def test_a_parameter_of_a_policy_that_does_not_hold_is_named(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    policy = f'[{{"policy": {{"policy": "pareto_subsets", "window": {value}}}}}]'
    monkeypatch.setenv("BAROGRAPH_WEIGHTS_POLICY", policy)
    with pytest.raises(ConfigurationInvalid, match=r"BAROGRAPH_WEIGHTS_POLICY: .*window"):
        load_settings()


def test_policies_are_read_with_the_epoch_of_their_effect(monkeypatch: pytest.MonkeyPatch) -> None:
    policies = '[{}, {"effective_from_epoch": 7000, "policy": {"policy": "proportional", "power": 3}}]'
    monkeypatch.setenv("BAROGRAPH_WEIGHTS_POLICY", policies)
    first, second = load_settings().weights_policy
    assert (first.policy.policy, second.policy.policy, second.effective_from_epoch) == (
        "pareto_subsets",
        "proportional",
        7_000,
    )
