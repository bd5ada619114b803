"""Network, friendship, application and device keys with everything that is derived from them (3.9.6).

Derived once per key and kept: a message must cost microseconds. Key bytes never show in `repr`.
"""

from __future__ import annotations

from typing import Final

from firmware_bridge.stack.crypto import KEY_BYTES, Block, Ccm, id128, k2, k3, k4

FLOODING: Final = b"\x00"
FRIENDSHIP: Final = b"\x01"
DIRECTED: Final = b"\x02"


class Credentials:
    """What encrypts and hides network PDUs: NID, encryption key and privacy key (3.9.6.3.1)."""

    __slots__ = ("ccm", "nid", "privacy")

    def __init__(self, net_key: bytes, p: bytes) -> None:
        """Derive from a network key and the material `p` of `crypto.k2`."""
        self.nid, encryption, privacy = k2(net_key, p)
        self.ccm = Ccm(encryption)
        self.privacy = Block(privacy)

    def __repr__(self) -> str:
        return f"Credentials(nid=0x{self.nid:02x})"


def flooding(net_key: bytes) -> Credentials:
    """Managed flooding security credentials, the usual ones (3.9.6.3.1)."""
    return Credentials(_checked(net_key), FLOODING)


def directed(net_key: bytes) -> Credentials:
    """Directed forwarding credentials (3.9.6.3.1)."""
    return Credentials(_checked(net_key), DIRECTED)


def friendship(net_key: bytes, lpn: int, friend: int, lpn_counter: int, friend_counter: int) -> Credentials:
    """Credentials between a Low Power node and its Friend (3.9.6.3.1).

    Addresses and counters (LPNCounter, FriendCounter) are those of the Friend Request and Friend Offer.
    """
    p = FRIENDSHIP + b"".join(
        number.to_bytes(2, "big") for number in (lpn, friend, lpn_counter, friend_counter)
    )
    return Credentials(_checked(net_key), p)


class NetworkKey:
    """A network key and its derivations.

    `network_id` is public (8 bytes); `identity`, `beacon` and `private_beacon` are the keys of Node Identity
    advertisements, secure network beacons and private beacons (3.9.6.3.2 to 3.9.6.3.5).
    """

    __slots__ = (
        "beacon", "credentials", "identity", "identity_block", "index", "key", "network_id", "private_beacon",
    )  # fmt: skip

    def __init__(self, key: bytes, index: int = 0) -> None:
        self.key = _checked(key)
        self.index = index
        self.credentials = flooding(key)
        self.network_id = k3(key)
        self.identity = id128(key, b"nkik")
        # One advertised identity is compared with that of every node known: setting the key up each time
        # would cost ten times as much as the hash.
        self.identity_block = Block(self.identity)
        self.beacon = id128(key, b"nkbk")
        self.private_beacon = id128(key, b"nkpk")

    def __repr__(self) -> str:
        return f"NetworkKey(index={self.index}, network_id={self.network_id.hex()})"


class ApplicationKey:
    """An application key; `aid` names it, 6 bits and ambiguous, in every message (3.9.6.2)."""

    __slots__ = ("aid", "ccm", "index", "key", "net_index")

    def __init__(self, key: bytes, index: int = 0, net_index: int = 0) -> None:
        self.key = _checked(key)
        self.index = index
        self.net_index = net_index
        self.aid = k4(key)
        self.ccm = Ccm(key)

    def __repr__(self) -> str:
        return f"ApplicationKey(index={self.index}, aid=0x{self.aid:02x})"


class DeviceKey:
    """The key that a node shares with its configuration clients alone (3.9.6.1)."""

    __slots__ = ("ccm", "key")

    def __init__(self, key: bytes) -> None:
        self.key = _checked(key)
        self.ccm = Ccm(key)

    def __repr__(self) -> str:
        return "DeviceKey(********)"


def _checked(key: bytes) -> bytes:
    if len(key) != KEY_BYTES:
        raise ValueError(f"a key has {KEY_BYTES} bytes, not {len(key)}")
    return key
