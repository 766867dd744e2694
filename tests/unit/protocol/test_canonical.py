import json
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.canonical import MAX_INTEGER, J, digest, load_json_strict, sign, verify
from tests.unit.protocol.world import MINER, OTHER

printable = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=8)
signable = st.recursive(
    st.none() | st.booleans() | st.integers(-MAX_INTEGER, MAX_INTEGER) | printable,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(printable, inner, max_size=3),
    max_leaves=8,
)


@given(signable)
def test_canonical_bytes_read_back_and_are_one_spelling(value: object) -> None:
    try:
        body = J(value)
    except ValueError as error:
        assert "nesting" in str(error)
        return
    assert load_json_strict(body, len(body)) == value
    assert J(json.loads(json.dumps(value, indent=3))) == body


@pytest.mark.parametrize(
    "body",
    [
        b'{"a":1,"a":2}',
        b'{"a":{"b":1,"\\u0062":2}}',
        b"1.0",
        b"[1e3]",
        b"9007199254740992",
        b"NaN",
        b"[-Infinity]",
        '"é"'.encode(),
        b'"\\u00e9"',
        b'"\\n"',
        b'{"\x7f":1}',
        b'"\xff"',
        b"\xef\xbb\xbf{}",
        b"{} {}",
        b"",
        '"a"'.encode("utf-16"),
        b"[" * 9 + b"]" * 9,
        b"[" * 200_000 + b"]" * 200_000,
        b"1" * 5_000,
    ],
)
def test_json_that_no_signed_object_may_hold_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError):
        load_json_strict(body, 1_000_000)


def test_nesting_of_eight_and_the_greatest_length_are_accepted() -> None:
    body = b"[" * 8 + b"]" * 8
    assert J(load_json_strict(body, len(body))) == body
    with pytest.raises(ValueError, match="at most 15"):
        load_json_strict(body, 15)


def test_what_is_not_signed_may_hold_floats_and_any_text_but_no_duplicates() -> None:
    assert load_json_strict('{"titre":"prévision","x":0.5}'.encode(), 99, signed=False) == {
        "titre": "prévision",
        "x": 0.5,
    }
    with pytest.raises(ValueError, match="duplicate"):
        load_json_strict(b'{"a":0.5,"a":1}', 99, signed=False)


@pytest.mark.parametrize("value", [1.0, float("nan"), "é", "\n", MAX_INTEGER + 1, {"a": [0.5]}, [[[[[[[[[]]]]]]]]]])
def test_values_that_may_not_be_signed_have_no_canonical_bytes(value: object) -> None:
    with pytest.raises(ValueError):
        J(value)


def test_a_signature_holds_for_its_key_label_and_bytes_alone() -> None:
    signature = sign(MINER, "commitment", b"{}")
    assert verify(MINER.hotkey, "commitment", b"{}", signature)
    assert not verify(OTHER.hotkey, "commitment", b"{}", signature)
    assert not verify(MINER.hotkey, "receipt", b"{}", signature)
    assert not verify(MINER.hotkey, "commitment", b"[]", signature)
    assert not verify(MINER.hotkey, "commitment", b"{}", signature.upper())
    assert not verify(MINER.hotkey, "commitment", b"{}", signature[:-2])
    assert not verify("zz" * 32, "commitment", b"{}", signature)
    assert digest("call", b"{}") != digest("inputs", b"{}")


def test_signature_with_a_scalar_above_the_group_order_is_refused() -> None:
    order = 2**252 + 27742317777372353535851937790883648493
    signature = bytes.fromhex(sign(MINER, "call", b"{}"))
    scalar = int.from_bytes(signature[32:], "little") + order
    assert not verify(MINER.hotkey, "call", b"{}", (signature[:32] + scalar.to_bytes(32, "little")).hex())


def test_keys_sort_by_code_point() -> None:
    assert J(dict.fromkeys(reversed(string.printable[:90]), 0)).startswith(b'{"!":0,"\\"":0,"#":0')
