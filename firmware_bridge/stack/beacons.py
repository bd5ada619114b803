"""Beacons that tell IV index and key refresh state (3.10), and the hashes that a proxy advertises (7.2.2)."""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from struct import Struct
from struct import error as StructError
from typing import Final

from common.errors import Rejected, RejectReason
from common.mesh.addresses import is_unicast
from firmware_bridge.stack.crypto import Ccm, aes_cmac
from firmware_bridge.stack.keys import NetworkKey

SECURE_NETWORK: Final = 0x01
PRIVATE: Final = 0x02
_SECURE: Final = Struct(">B8sI")
_PRIVATE: Final = Struct(">BI")
_AUTHENTICATION_BYTES: Final = 8
_RANDOM_BYTES: Final = 13
_SECURE_BYTES: Final = 1 + _SECURE.size + _AUTHENTICATION_BYTES
_PRIVATE_BYTES: Final = 1 + _RANDOM_BYTES + _PRIVATE.size + _AUTHENTICATION_BYTES
_KEY_REFRESH: Final = 1
_IV_UPDATE: Final = 2


@dataclass(frozen=True, slots=True)
class NetworkBeacon:
    """What an authentic beacon says (3.10.3, 3.10.4): the IV index, whether it is being updated, and keys
    refreshed."""

    iv_index: int
    iv_update: bool = False
    key_refresh: bool = False

    @property
    def flags(self) -> int:
        """The flags field (3.10.3)."""
        return self.key_refresh * _KEY_REFRESH | self.iv_update * _IV_UPDATE


def build_secure(beacon: NetworkBeacon, key: NetworkKey) -> bytes:
    """A secure network beacon of 22 bytes, its type first (3.10.3). Raises Rejected(OUT_OF_RANGE)."""
    body = _packed(_SECURE, beacon, beacon.flags, key.network_id, beacon.iv_index)
    return bytes((SECURE_NETWORK,)) + body + aes_cmac(key.beacon, body)[:_AUTHENTICATION_BYTES]


def build_private(beacon: NetworkBeacon, key: NetworkKey, random: bytes) -> bytes:
    """A private beacon of 27 bytes, its type first; `random` are 13 fresh random bytes (3.10.4).

    Authentication and obfuscation together are AES-CCM with the random field as nonce (3.10.4.1). Raises
    Rejected(OUT_OF_RANGE).
    """
    if len(random) != _RANDOM_BYTES:
        raise ValueError(f"the random field has {_RANDOM_BYTES} bytes")
    data = _packed(_PRIVATE, beacon, beacon.flags, beacon.iv_index)
    return bytes((PRIVATE,)) + random + Ccm(key.private_beacon).encrypt(random, data, 8)


def parse(data: bytes, key: NetworkKey) -> NetworkBeacon | None:
    """What a beacon of the network of `key` says (3.10.3, 3.10.4); None for another network's, a forged one,
    or another type.

    Raises Rejected(TRUNCATED, OVERSIZED) for a known type of the wrong length, and nothing else.
    """
    kind = data[0] if data else None
    if kind == SECURE_NETWORK:
        _check_size(data, _SECURE_BYTES)
        return _parse_secure(data, key)
    if kind == PRIVATE:
        _check_size(data, _PRIVATE_BYTES)
        return _parse_private(data, key)
    return None


def _packed(layout: Struct, beacon: NetworkBeacon, *fields: int | bytes) -> bytes:
    try:
        return layout.pack(*fields)
    except StructError as error:
        raise Rejected(RejectReason.OUT_OF_RANGE, f"{beacon}") from error


def _parse_secure(data: bytes, key: NetworkKey) -> NetworkBeacon | None:
    flags, network_id, iv_index = _SECURE.unpack_from(data, 1)
    if network_id != key.network_id:
        return None
    body, authentication = data[1:-_AUTHENTICATION_BYTES], data[-_AUTHENTICATION_BYTES:]
    expected = aes_cmac(key.beacon, body)[:_AUTHENTICATION_BYTES]
    return _said(flags, iv_index) if hmac.compare_digest(authentication, expected) else None


def _parse_private(data: bytes, key: NetworkKey) -> NetworkBeacon | None:
    random, sealed = data[1 : 1 + _RANDOM_BYTES], data[1 + _RANDOM_BYTES :]
    plain = Ccm(key.private_beacon).decrypt(random, sealed, 8)
    return None if plain is None else _said(*_PRIVATE.unpack(plain))


def _said(flags: int, iv_index: int) -> NetworkBeacon:
    return NetworkBeacon(iv_index, bool(flags & _IV_UPDATE), bool(flags & _KEY_REFRESH))


def _check_size(data: bytes, size: int) -> None:
    if len(data) != size:
        reason = RejectReason.TRUNCATED if len(data) < size else RejectReason.OVERSIZED
        raise Rejected(reason, f"a beacon of {len(data)} bytes, not {size}")


def node_identity(key: NetworkKey, random: bytes, address: int, *, private: bool = False) -> bytes:
    """The 8-byte hash by which a node's proxy advertises its identity (7.2.2.2.3, private 7.2.2.2.5).

    `random` are the 8 bytes that stand beside the hash. Raises Rejected(OUT_OF_RANGE).
    """
    if not is_unicast(address):
        raise Rejected(RejectReason.OUT_OF_RANGE, f"{address:#x} is no node's address")
    padding = bytes(5) + (b"\x03" if private else b"\x00")
    return key.identity_block.encrypt(padding + random + address.to_bytes(2, "big"))[8:]


def private_network_identity(key: NetworkKey, random: bytes) -> bytes:
    """The 8-byte hash by which a proxy advertises its network to those who know it (7.2.2.2.4)."""
    return key.identity_block.encrypt(key.network_id + random)[8:]
