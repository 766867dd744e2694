"""The registry: who takes part, under which key and address, and the roster that a run freezes from it."""

from __future__ import annotations

import json
import re
import tomllib
from collections import Counter
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from operator import attrgetter
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, NamedTuple, Self
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from pydantic import AfterValidator, AwareDatetime, Field, model_validator

from protocol.canonical import J, digest
from protocol.document import Count, Digest, Document, Hotkey, Name, Word
from protocol.identity import require_hotkey
from weather.faults import ConfigurationInvalid

_ALWAYS = datetime.min.replace(tzinfo=UTC)
_HOST = r"(?:[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\])"
_BASE_URL = re.compile(rf"https?://({_HOST})(?::([1-9][0-9]{{0,4}}))?(?:/[A-Za-z0-9_-]+)*", re.ASCII)


def _a_base_url(value: str) -> str:
    match = _BASE_URL.fullmatch(value)
    if not match or len(value) > 200 or int(match[2] or 1) > 65_535:
        raise ValueError(f"{value[:200]!r} is not https://host[:port][/segment…] without a final slash")
    return value


BaseUrl = Annotated[str, AfterValidator(_a_base_url)]
RegisteredKey = Annotated[Hotkey, AfterValidator(require_hotkey)]


class ValidatorEntry(Document):
    """A validator; its request keys sign request tokens and nothing else."""

    name: Name
    hotkey: RegisteredKey
    request_keys: Annotated[tuple[RegisteredKey, ...], Field(max_length=8)] = ()
    base_url: BaseUrl


class MinerEntry(Document):
    """A miner; the pin is the name of a PEM file, or already the digest of the certificate."""

    name: Name
    hotkey: RegisteredKey
    base_url: BaseUrl
    uid: Count | None = None
    tls_certificate: Word | None = None
    tls_sha256: Digest | None = None
    enabled: bool = True
    valid_from: AwareDatetime | None = None


class RosterEntry(Document):
    """A miner as a run knows it."""

    hotkey: Hotkey
    uid: Count | None
    name: Name
    base_url: BaseUrl
    tls_sha256: Digest | None


class Roster(NamedTuple):
    """The miners of one run, and those that were not admitted; both by hotkey."""

    entries: tuple[RosterEntry, ...]
    excluded: tuple[RosterEntry, ...]

    @property
    def document(self) -> bytes:
        """RFC 8785 bytes of the entries."""
        return J([entry.value for entry in self.entries])

    @property
    def digest(self) -> str:
        """`D("roster", J(entries))`."""
        return digest("roster", self.document)


class Registry(Document):
    """All parties of a network."""

    network: Name
    validators: Annotated[tuple[ValidatorEntry, ...], Field(alias="validator")] = ()
    miners: Annotated[tuple[MinerEntry, ...], Field(alias="miner")] = ()

    @model_validator(mode="after")
    def _holds(self) -> Self:
        keys = [entry.hotkey for entry in (*self.validators, *self.miners)]
        keys += [key for entry in self.validators for key in entry.request_keys]
        for kind, values in (
            ("key", keys),
            ("validator name", [entry.name for entry in self.validators]),
            ("miner name", [entry.name for entry in self.miners]),
        ):
            if twice := [value for value, count in Counter(values).items() if count > 1]:
                raise ValueError(f"{kind} {twice[0]} stands more than once")
        return self

    @classmethod
    def parse(cls, body: bytes, certificates: Mapping[str, bytes] = MappingProxyType({})) -> Registry:
        """Read `registry.toml`.

        Args:
            body: the file.
            certificates: PEM bytes by the name that `tls_certificate` gives.

        Raises:
            ConfigurationInvalid: a rule of the registry does not hold, or a certificate is lacking.
        """
        try:
            tables = tomllib.loads(body.decode())
            for miner in tables.get("miner", []):
                if name := miner.get("tls_certificate"):
                    pin = x509.load_pem_x509_certificate(certificates[name])
                    miner["tls_sha256"] = pin.fingerprint(SHA256()).hex()
            return cls.model_validate_json(json.dumps(tables, default=str))
        except KeyError as error:
            raise ConfigurationInvalid(f"registry refused: no certificate {error}") from error
        except (ValueError, AttributeError, TypeError) as error:
            raise ConfigurationInvalid(f"registry refused: {error}") from error

    @classmethod
    def load(cls, path: Path) -> Registry:
        """As `parse`, with the certificates beside the file; OSError if one cannot be read."""
        return cls.parse(path.read_bytes(), {pem.name: pem.read_bytes() for pem in path.parent.glob("*.pem")})

    @property
    def validator_keys(self) -> dict[str, str]:
        """Validator by each key that may sign its requests: what a miner's gate needs."""
        return {key: entry.hotkey for entry in self.validators for key in (entry.hotkey, *entry.request_keys)}

    def validator(self, hotkey: str) -> ValidatorEntry:
        """The validator of a hotkey; KeyError if there is none."""
        return {entry.hotkey: entry for entry in self.validators}[hotkey]

    @property
    def hosts(self) -> frozenset[str]:
        """Hosts of the enabled miners."""
        return frozenset(_host(entry) for entry in self.miners if entry.enabled)

    def roster(
        self, max_per_address: int | None = 8, addresses: Mapping[str, Collection[str]] = MappingProxyType({})
    ) -> Roster:
        """The enabled miners; those above the limit of one address are excluded, the latest registered first.

        Args:
            max_per_address: none is no limit.
            addresses: what each host resolves to; one that is not there stands for itself.
        """
        enabled = [entry for entry in self.miners if entry.enabled]
        admitted: Counter[str] = Counter()
        entries: dict[bool, list[RosterEntry]] = {True: [], False: []}
        for entry in sorted(enabled, key=lambda entry: (entry.valid_from or _ALWAYS, entry.hotkey)):
            behind = addresses.get(_host(entry)) or {_host(entry)}
            fits = max_per_address is None or all(admitted[one] < max_per_address for one in behind)
            admitted.update(behind if fits else ())
            entries[fits].append(RosterEntry(**entry.model_dump(include=set(RosterEntry.model_fields))))
        admitted_first, excluded = (sorted(entries[fits], key=attrgetter("hotkey")) for fits in (True, False))
        return Roster(tuple(admitted_first), tuple(excluded))


def _host(entry: MinerEntry) -> str:
    return urlsplit(entry.base_url).hostname or ""
