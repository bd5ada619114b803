"""What a GATT proxy advertises as service data of the Mesh Proxy Service: whose it is (7.2.2.2)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from firmware_bridge.stack.beacons import node_identity, private_network_identity
from firmware_bridge.stack.keys import NetworkKey

MESH_PROXY_SERVICE: Final = 0x1828
MESH_PROVISIONING_SERVICE: Final = 0x1827
_HASH: Final = slice(1, 9)
_RANDOM: Final = slice(9, 17)


class Identification(IntEnum):
    """The first byte (7.2.2.2): how the advertiser identifies itself."""

    NETWORK_ID = 0x00
    NODE_IDENTITY = 0x01
    PRIVATE_NETWORK = 0x02
    PRIVATE_NODE = 0x03


@dataclass(frozen=True, slots=True)
class ProxyOffer:
    """An advertiser is a proxy of our network (7.2.2.2); `address` is known where it told which node it
    is."""

    kind: Identification
    address: int | None = None


def build(offer: ProxyOffer, key: NetworkKey, random: bytes = b"") -> bytes:
    """The service data of a proxy in the network of `key`, its kind first, 9 or 17 bytes (7.2.2.2).

    `random` are 8 fresh random bytes, for every kind but the Network ID. Raises ValueError where they, or the
    address, are missing.
    """
    if offer.kind is Identification.NETWORK_ID:
        return bytes((offer.kind,)) + key.network_id
    if len(random) != _RANDOM.stop - _RANDOM.start:
        raise ValueError("the random field has 8 bytes")
    if offer.kind is Identification.PRIVATE_NETWORK:
        return bytes((offer.kind,)) + private_network_identity(key, random) + random
    if offer.address is None:
        raise ValueError("a node's identity needs its address")
    private = offer.kind is Identification.PRIVATE_NODE
    return bytes((offer.kind,)) + node_identity(key, random, offer.address, private=private) + random


def recognise(data: bytes, key: NetworkKey, addresses: Iterable[int] = ()) -> ProxyOffer | None:
    """Whether service data is of a proxy in the network of `key`; None when not, whatever the bytes
    (7.2.2.2).

    A Node Identity is a hash: it is compared with those of `addresses`, the nodes known.
    """
    if not data:
        return None
    kind = data[0]
    if kind == Identification.NETWORK_ID:
        return ProxyOffer(Identification.NETWORK_ID) if data[1:] == key.network_id else None
    if len(data) != 17:
        return None
    if kind == Identification.PRIVATE_NETWORK:
        found = private_network_identity(key, data[_RANDOM]) == data[_HASH]
        return ProxyOffer(Identification.PRIVATE_NETWORK) if found else None
    if kind in (Identification.NODE_IDENTITY, Identification.PRIVATE_NODE):
        private = kind == Identification.PRIVATE_NODE
        for address in addresses:
            if node_identity(key, data[_RANDOM], address, private=private) == data[_HASH]:
                return ProxyOffer(Identification(kind), address)
    return None
