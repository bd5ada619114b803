"""Tokens are secrets that survive crashes, and damage is told, never guessed."""

from __future__ import annotations

from pathlib import Path

import pytest

from common.errors import Corrupt
from firmware_bridge.bluez.tokens import TokenStore

UUID = bytes(range(16))
TOKEN = 0x0123_4567_89AB_CDEF


def test_what_was_written_is_read(tmp_path: Path) -> None:
    store = TokenStore(tmp_path / "tokens")
    assert store.read(UUID) is None
    store.write(UUID, TOKEN)
    store.write(UUID, TOKEN + 1)
    assert TokenStore(tmp_path / "tokens").read(UUID) == TOKEN + 1
    assert store.read(bytes(16)) is None


@pytest.mark.parametrize(
    "damage", [b"", b"0", b"xyz", b"0123 4567", b"1" * 17, b"\xff\xfe", b"-1", b"g" * 16 + b"\n"]
)
def test_a_damaged_token_is_corrupt_and_not_repeated_in_the_error(tmp_path: Path, damage: bytes) -> None:
    store = TokenStore(tmp_path)
    store.write(UUID, TOKEN)
    (path,) = tmp_path.glob("*.token")
    path.write_bytes(damage)
    with pytest.raises(Corrupt) as error:
        store.read(UUID)
    assert str(damage) not in str(error.value)


def test_a_token_cut_at_any_byte_is_corrupt(tmp_path: Path) -> None:
    store = TokenStore(tmp_path)
    store.write(UUID, TOKEN)
    (path,) = tmp_path.glob("*.token")
    whole = path.read_bytes()
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        with pytest.raises(Corrupt):
            store.read(UUID)
