"""The security toolbox of section 3.9.2: AES, CMAC, CCM, and the derivation functions s1 and k1 to k4.

Keys are 16 bytes, everything is big-endian. Callers that process many messages keep a `Ccm` or a `Block` per
key: setting a key up costs more than using it.
"""

from __future__ import annotations

from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESCCM
from cryptography.hazmat.primitives.cmac import CMAC

KEY_BYTES: Final = 16
BLOCK_BYTES: Final = 16
NONCE_BYTES: Final = 13
ZERO_KEY: Final = bytes(KEY_BYTES)


class Block:
    """The encryption function `e` of one key (3.9.2.1)."""

    __slots__ = ("_update",)

    def __init__(self, key: bytes) -> None:
        # ECB keeps no state between blocks, so that one encryptor serves for ever. It hides a single block of
        # random data here, never a message.
        self._update = Cipher(algorithms.AES(key), modes.ECB()).encryptor().update

    def encrypt(self, block: bytes) -> bytes:
        """The 16 bytes that `e(key, block)` gives (3.9.2.1). Raises ValueError for a block of another size:
        the encryptor would keep the rest, and be out of step for ever."""
        if len(block) != BLOCK_BYTES:
            raise ValueError(f"a block has {BLOCK_BYTES} bytes, not {len(block)}")
        return self._update(block)


class Ccm:
    """AES-CCM of one key with a MIC of 4 or 8 bytes (3.9.2.3)."""

    __slots__ = ("_long", "_short")

    def __init__(self, key: bytes) -> None:
        self._short = AESCCM(key, tag_length=4)
        self._long = AESCCM(key, tag_length=8)

    def encrypt(self, nonce: bytes, plain: bytes, mic_bytes: int, additional: bytes | None = None) -> bytes:
        """Cipher text followed by its MIC (3.9.2.3)."""
        cipher = self._short if mic_bytes == 4 else self._long
        return cipher.encrypt(nonce, plain, additional)

    def decrypt(
        self, nonce: bytes, sealed: bytes, mic_bytes: int, additional: bytes | None = None
    ) -> bytes | None:
        """The plain text, or None when the MIC does not fit (3.9.2.3): usually just another network's
        message."""
        cipher = self._short if mic_bytes == 4 else self._long
        try:
            return cipher.decrypt(nonce, sealed, additional)
        except (InvalidTag, ValueError):
            return None


def e(key: bytes, block: bytes) -> bytes:
    """AES-128 of one block (3.9.2.1)."""
    return Block(key).encrypt(block)


def aes_cmac(key: bytes, message: bytes) -> bytes:
    """AES-CMAC, 16 bytes (3.9.2.2, RFC 4493)."""
    mac = CMAC(algorithms.AES(key))
    mac.update(message)
    return mac.finalize()


def s1(message: bytes) -> bytes:
    """The salt made of a non-empty text (3.9.2.5)."""
    return aes_cmac(ZERO_KEY, message)


def k1(n: bytes, salt: bytes, p: bytes) -> bytes:
    """A 128-bit key from the material `n` of any length, a 16-byte salt and the info `p` (3.9.2.7)."""
    return aes_cmac(aes_cmac(salt, n), p)


def k2(n: bytes, p: bytes) -> tuple[int, bytes, bytes]:
    """(NID of 7 bits, encryption key, privacy key) from a network key and the material `p` (3.9.2.8).

    `p` is 0x00 for managed flooding, 0x01 with addresses and counters for friendship, 0x02 for directed
    forwarding.
    """
    t = aes_cmac(s1(b"smk2"), n)
    t1 = aes_cmac(t, p + b"\x01")
    t2 = aes_cmac(t, t1 + p + b"\x02")
    t3 = aes_cmac(t, t2 + p + b"\x03")
    return t1[15] & 0x7F, t2, t3


def k3(n: bytes) -> bytes:
    """The 8-byte public value of a secret, such as a network's ID (3.9.2.9)."""
    return aes_cmac(aes_cmac(s1(b"smk3"), n), b"id64\x01")[8:]


def k4(n: bytes) -> int:
    """The 6-bit public value of a secret, such as an application key's AID (3.9.2.10)."""
    return aes_cmac(aes_cmac(s1(b"smk4"), n), b"id6\x01")[15] & 0x3F


def id128(n: bytes, name: bytes) -> bytes:
    """The key of `n` for the purpose `name`: k1 with the info "id128" (3.9.6.3)."""
    return k1(n, s1(name), b"id128\x01")
