from pathlib import Path

import pytest

from protocol.identity import PrivateKey, require_hotkey
from tests.unit.protocol.world import MINER, VALIDATOR

SMALL_ORDER = [
    "00" * 32,
    "00" * 31 + "80",
    "01" + "00" * 31,
    "01" + "00" * 30 + "80",
    "ec" + "ff" * 30 + "7f",
    "ec" + "ff" * 31,
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
]
NOT_CANONICAL = ["ed" + "ff" * 30 + "7f", "ee" + "ff" * 30 + "7f", "f3" + "ff" * 30 + "7f", "ff" * 32]
NOT_ON_THE_CURVE = ["02" + "00" * 31, "07" + "00" * 31]
NOT_HEX = ["", "8a", MINER.hotkey.upper(), MINER.hotkey + "\n", "g" * 64, "٣" * 64]


@pytest.mark.parametrize("hotkey", SMALL_ORDER + NOT_CANONICAL + NOT_ON_THE_CURVE + NOT_HEX)
def test_a_key_that_proves_nothing_may_not_be_registered(hotkey: str) -> None:
    with pytest.raises(ValueError, match="hotkey"):
        require_hotkey(hotkey)


def test_the_keys_of_generated_identities_may_be_registered() -> None:
    keys = [MINER, VALIDATOR, *(PrivateKey.generate() for _ in range(20))]
    assert [require_hotkey(key.hotkey) for key in keys] == [key.hotkey for key in keys]


def test_a_key_file_belongs_to_its_owner_and_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "hotkey"
    MINER.save(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert PrivateKey.load(path).hotkey == MINER.hotkey
    with pytest.raises(FileExistsError):
        VALIDATOR.save(path)
    path.chmod(0o640)
    with pytest.raises(ValueError, match="0640"):
        PrivateKey.load(path)


def test_there_is_no_key_without_its_32_bytes(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        PrivateKey.load(tmp_path / "absent")
    short = tmp_path / "short"
    short.touch(mode=0o600)
    with pytest.raises(ValueError):
        PrivateKey.load(short)


def test_a_key_does_not_show_itself() -> None:
    assert "0101" not in repr(MINER) + str(vars(MINER))
