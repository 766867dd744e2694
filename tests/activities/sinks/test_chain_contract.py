"""What every chain does, the one in memory and a real node where one is configured."""

import os
from importlib.util import find_spec
from pathlib import Path

import pytest

from adapters.sinks.bittensor import BittensorChain
from adapters.sinks.chain import Chain
from protocol import ss58
from tests.activities.sinks.fake_chain import LIMITS, FakeChain
from weather.faults import ConfigurationInvalid, SinkUnavailable, WeightsNotPublished

NODE = "BAROGRAPH_TEST_CHAIN"
ACCOUNTS = [ss58.encode(f"{number:02x}" * 32) for number in range(1, 5)]
STRANGER = ss58.encode("ff" * 32)


def node() -> tuple[Chain, str]:
    """Named as `ws://host:port,netuid,wallet/hotkey,folder`."""
    if not (named := os.environ.get(NODE)):
        pytest.skip(f"{NODE} names no node")
    network, netuid, wallet, folder = named.split(",")
    chain = BittensorChain(network, int(netuid), wallet, Path(folder))
    return chain, chain.account


def memory() -> tuple[Chain, str]:
    chain = FakeChain(ACCOUNTS[-1])
    chain.register(*ACCOUNTS)
    return chain, chain.account


@pytest.fixture(params=[memory, node])
def seen(request: pytest.FixtureRequest) -> tuple[Chain, str]:
    return request.param()


def test_a_registry_gives_each_uid_and_account_once(seen: tuple[Chain, str]) -> None:
    chain, account = seen
    uids = chain.registry(chain.head())
    assert len(set(uids.values())) == len(uids)
    assert account in uids


def test_limits_can_be_kept(seen: tuple[Chain, str]) -> None:
    limits = seen[0].limits()
    assert limits.rate_blocks >= 0 <= limits.min_entries
    assert 0 < limits.max_share <= 10**9


def test_entries_are_read_back_as_they_were_sent_and_not_again_too_early(seen: tuple[Chain, str]) -> None:
    chain, account = seen
    head, limits = chain.head(), chain.limits()
    entries = tuple(sorted((uid, 65_535 - uid) for uid in chain.registry(head).values()))
    assert chain.submit(entries, limits.version_key)
    made = chain.published(account)
    assert made is not None
    assert made.block >= head
    assert limits.commit_reveal or made.entries == entries
    if limits.rate_blocks:
        with pytest.raises(SinkUnavailable):
            chain.submit(entries, limits.version_key)


def test_a_uid_that_is_nobodys_is_refused(seen: tuple[Chain, str]) -> None:
    with pytest.raises((WeightsNotPublished, SinkUnavailable)):
        seen[0].submit(((65_000, 65_535), (65_001, 1)), LIMITS.version_key)


def test_a_stranger_has_published_nothing(seen: tuple[Chain, str]) -> None:
    assert seen[0].published(STRANGER) is None


@pytest.mark.skipif(find_spec("bittensor") is not None, reason="the extra is installed")
def test_without_the_extra_the_setting_is_refused() -> None:
    with pytest.raises(ConfigurationInvalid, match="extra bittensor"):
        BittensorChain("ws://127.0.0.1:1", 1, "none", Path("none"))
