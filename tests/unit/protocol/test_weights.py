"""What is published of an epoch's weights, and how hotkeys are named on a chain."""

from typing import Any

import pytest

from protocol import ss58
from protocol.weights import WeightsPayload, publication_key
from tests.unit.protocol.world import MINER, OTHER, VALIDATOR

SHARES = ((VALIDATOR.hotkey, 250_000_000), (MINER.hotkey, 750_000_000))


def payload(**changes: Any) -> WeightsPayload:
    members: dict[str, Any] = {
        "network": "test",
        "epoch": 6_515,
        "policy": "pareto_subsets",
        "version": 1,
        "head": 1_335,
        "input_digest": "22" * 32,
        "shares": SHARES,
    }
    return WeightsPayload(**{**members, **changes})


def test_the_payload_is_canonical_and_read_back_as_it_was() -> None:
    made = payload()
    assert made.canonical == (
        b'{"epoch":6515,"head":1335,"input_digest":"%s","kind":"weights","network":"test","policy":"pareto_subsets",'
        b'"protocol":"barograph/1","shares":[["%s",250000000],["%s",750000000]],"version":1}'
        % (b"22" * 32, VALIDATOR.hotkey.encode(), MINER.hotkey.encode())
    )
    assert WeightsPayload.parse(made.canonical) == made


@pytest.mark.parametrize(
    ("shares", "why"),
    [
        (SHARES[::-1], "in the order"),
        ((SHARES[0], (VALIDATOR.hotkey, 750_000_000)), "each once"),
        ((), "add up to 0 ppb"),
        (((MINER.hotkey, 999_999_999),), "add up to 999999999 ppb"),
        (((OTHER.hotkey, -1), (MINER.hotkey, 1_000_000_001)), "greater than or equal to 0"),
        ((("burn", 1_000_000_000),), "match pattern"),
    ],
)
def test_shares_that_are_not_a_whole_of_hotkeys_are_refused(shares: Any, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        payload(shares=shares)


def test_the_key_names_the_publication_and_nothing_else() -> None:
    same = payload(epoch=6_516)
    assert same.shares_digest == payload().shares_digest != payload(shares=((MINER.hotkey, 10**9),)).shares_digest
    keys = {
        publication_key(network, epoch, sink, digest)
        for network in ("test", "main")
        for epoch in (1, 2)
        for sink in ("file", "chain")
        for digest in ("00" * 32, "11" * 32)
    }
    assert len(keys) == 16
    assert (
        publication_key("test", 1, "file", "00" * 32)
        == "ad25dc7dfd9f5c8c74617c6b822ee377d38ff6fbfa247c1857a3799e66ef5669"
    )


def test_a_hotkey_is_an_account_of_the_same_bytes() -> None:
    assert ss58.encode(MINER.hotkey) == "5FCM8VvFKfKzQnmkT7X9kDY6xMcgeGYRK8tmSbfwpXyM1CvS"
    assert ss58.encode("00" * 32) == "5C4hrfjw9DjXZTzV3MwzrrAr9P1MJhSrvWGWqi1eSuyUpnhM"
