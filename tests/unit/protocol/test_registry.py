from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from protocol.identity import PrivateKey
from protocol.registry import Registry
from tests.unit.protocol.world import MINER, OTHER, T0, VALIDATOR
from weather.faults import ConfigurationInvalid

TOML = f"""
network = "test"
[[validator]]
name = "north"
hotkey = "{VALIDATOR.hotkey}"
request_keys = ["{OTHER.hotkey}"]
base_url = "https://validator.example"
[[miner]]
name = "trade-wind"
hotkey = "{MINER.hotkey}"
base_url = "https://miner.example:8443/a"
uid = 17
"""


def test_a_registry_reads() -> None:
    registry = Registry.parse(TOML.encode())
    assert registry.network == "test"
    assert registry.validator_keys == dict.fromkeys([VALIDATOR.hotkey, OTHER.hotkey], VALIDATOR.hotkey)
    assert registry.validator(VALIDATOR.hotkey).name == "north"
    assert registry.miners[0].enabled


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('network = "test"', ""),
        ('network = "test"', 'network = "Test"'),
        ('network = "test"', 'network = "-test"'),
        ('network = "test"', f'network = "{"a" * 33}"'),
        ('network = "test"', 'network = "test"\nmore = 1'),
        ('"trade-wind"', '"Trade wind"'),
        ('"trade-wind"', '""'),
        (MINER.hotkey, MINER.hotkey.upper()),
        (MINER.hotkey, "00" * 32),
        (MINER.hotkey, "ec" + "ff" * 30 + "7f"),
        (MINER.hotkey, VALIDATOR.hotkey),
        (MINER.hotkey, OTHER.hotkey),
        (OTHER.hotkey, "01" + "00" * 31),
        (f'["{OTHER.hotkey}"]', str([PrivateKey.from_bytes(bytes([n]) * 32).hotkey for n in range(10, 19)])),
        ("uid = 17", "uid = 17.0"),
        ("uid = 17", "uid = -1"),
        ("uid = 17", 'uid = "17"'),
        ("uid = 17", "enabled = 1"),
        ("uid = 17", 'tls_certificate = "absent.pem"'),
        ("uid = 17", f'[[miner]]\nname = "trade-wind"\nhotkey = "{"58" + "66" * 31}"\nbase_url = "https://b.example"'),
        ("uid = 17", f'[[miner]]\nname = "other"\nhotkey = "{MINER.hotkey}"\nbase_url = "https://b.example"'),
        ("[[miner]]", "[miner]"),
        ("[[miner]]", "[[["),
    ],
)
def test_a_registry_that_breaks_a_rule_is_refused(old: str, new: str) -> None:
    with pytest.raises(ConfigurationInvalid, match="registry refused"):
        Registry.parse(TOML.replace(old, new).encode())


@pytest.mark.parametrize(
    "url",
    [
        "ftp://miner.example",
        "https://",
        "https://user@miner.example",
        "https://miner.example/",
        "//miner.example",
        "https://miner.example/a/",
        "https://miner.example//a",
        "https://miner.example/a.b",
        "https://miner.example/../a",
        "https://miner.example?x",
        "https://miner.example#x",
        "https://miner.example/a?b=c",
        "https://miner.example:0",
        "https://miner.example:65536",
        "https://miner.example:",
        "https://MINER.example",
        "https://miner.example/%61",
        "https://miner.example\\n",
        "https://mïner.example",
        "https://[::1",
        "https://" + "a" * 200,
    ],
)
def test_a_base_url_that_could_mislead_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationInvalid, match="base_url"):
        Registry.parse(TOML.replace("https://miner.example:8443/a", url).encode())


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:8080/m/one_1", "https://miner.example", "https://[2001:db8::1]:443/a/b-c", "https://a:65535"],
)
def test_plain_base_urls_are_accepted(url: str) -> None:
    registry = Registry.parse(TOML.replace("https://miner.example:8443/a", url).encode())
    assert registry.miners[0].base_url == url


def test_a_pin_is_known_by_the_digest_of_its_certificate() -> None:
    key = Ed25519PrivateKey.from_private_bytes(b"\7" * 32)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "miner.example")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, T0, T0 + timedelta(days=1))
    certificate = builder.sign(key, None)
    toml = TOML.replace("uid = 17", 'tls_certificate = "a.pem"').encode()
    registry = Registry.parse(toml, {"a.pem": certificate.public_bytes(Encoding.PEM)})
    assert registry.roster(None).entries[0].tls_sha256 == certificate.fingerprint(SHA256()).hex()
    with pytest.raises(ConfigurationInvalid):
        Registry.parse(toml, {"a.pem": b"not a certificate"})


def miner(number: int, host: str, **members: object) -> dict[str, object]:
    key = PrivateKey.from_bytes(bytes([number]) * 32)
    return {"name": f"m{number}", "hotkey": key.hotkey, "base_url": f"https://{host}/m{number}", **members}


def registry_of(*miners: dict[str, object]) -> Registry:
    return Registry.model_validate({"network": "test", "miner": miners})


def test_a_roster_holds_the_enabled_miners_by_hotkey() -> None:
    registry = registry_of(miner(5, "a.example", uid=3), miner(6, "a.example", enabled=False), miner(7, "b.example"))
    roster = registry.roster(8)
    assert [entry.hotkey for entry in roster.entries] == sorted(entry.hotkey for entry in roster.entries)
    assert {entry.name: entry.uid for entry in roster.entries} == {"m5": 3, "m7": None}
    assert roster.excluded == ()


def test_hotkeys_above_the_limit_of_one_address_are_excluded_latest_first() -> None:
    """AT-I4: who announces somebody's address later crowds out itself."""
    old = datetime(2026, 1, 1, tzinfo=UTC)
    crowd = [miner(number, "a.example:443", valid_from=old) for number in range(10, 18)]
    late = miner(9, "a.example", valid_from=old + timedelta(seconds=1))
    roster = registry_of(late, *crowd, miner(40, "b.example")).roster(8)
    assert [entry.name for entry in roster.excluded] == ["m9"]
    assert len(roster.entries) == 9
    assert registry_of(late, *crowd).roster(None).excluded == ()


def test_an_address_is_what_the_names_resolve_to_not_what_they_are() -> None:
    crowd = [miner(number, f"host{number}.example") for number in range(10, 18)]
    late = datetime(2026, 1, 1, tzinfo=UTC)
    ninth, other = miner(9, "last.example", valid_from=late), miner(8, "both.example", valid_from=late)
    registry = registry_of(ninth, other, *crowd)
    here = {f"host{number}.example": {"10.0.0.1"} for number in range(10, 18)}
    assert registry.hosts == {*here, "last.example", "both.example"}
    assert registry.roster(8).excluded == ()
    for last, both, left_out in (("1", "2", {"m9"}), ("2", "1", {"m8"}), ("2", "2", set())):
        addresses = here | {"last.example": {f"10.0.0.{last}"}, "both.example": {"10.0.0.3", f"10.0.0.{both}"}}
        assert {entry.name for entry in registry.roster(8, addresses).excluded} == left_out


def test_without_dates_the_greatest_hotkey_is_the_surplus() -> None:
    registry = registry_of(*(miner(number, "a.example") for number in range(10, 13)))
    greatest = max(entry.hotkey for entry in registry.miners)
    assert [entry.hotkey for entry in registry.roster(2).excluded] == [greatest]


def test_the_digest_of_a_roster_ignores_the_order_of_the_registry() -> None:
    miners = [miner(number, "a.example") for number in (5, 6, 7)]
    assert registry_of(*miners).roster(8).digest == registry_of(*reversed(miners)).roster(8).digest
    assert registry_of(*miners).roster(8).digest != registry_of(*miners[:2]).roster(8).digest
