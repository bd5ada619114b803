"""The cryptography of provisioning: key agreement, confirmations, and the keys of a session (5.4.2).

Nothing here shows key material in `repr`.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from struct import Struct
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec

from common.errors import Rejected, RejectReason
from common.mesh.addresses import UNICAST_MAX
from firmware_bridge.provisioning.pdus import PUBLIC_KEY_BYTES, Algorithm
from firmware_bridge.stack.crypto import Ccm, aes_cmac, k1, s1

DATA_BYTES: Final = 25
_MIC_BYTES: Final = 8
_ZERO_256: Final = bytes(32)
_DATA: Final = Struct(">16sHBIH")
# The order of the curve P-256 (FIPS 186-4, D.1.2.3): a private key lies below it.
_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def s2(message: bytes) -> bytes:
    """The salt made of a message: HMAC-SHA-256 under the zero key, 32 bytes (3.9.2.6)."""
    return hmac.digest(_ZERO_256, message, "sha256")


def k5(n: bytes, salt: bytes, p: bytes) -> bytes:
    """A 256-bit key from the material `n`, a 32-byte salt and the info `p` (3.9.2.11)."""
    return hmac.digest(hmac.digest(salt, n, "sha256"), p, "sha256")


def uri_hash(uri: bytes) -> bytes:
    """The 4-byte hash in the beacon of a device that advertises a URI, given as advertised: the scheme's code
    first (3.10.2)."""
    return s1(uri)[:4]


class KeyPair:
    """A key pair on P-256, used for one provisioning only (5.4.2.3)."""

    __slots__ = ("_private", "public")

    def __init__(self, private: bytes) -> None:
        """From the 32 bytes of a private key. Raises ValueError for one that the curve does not have."""
        number = int.from_bytes(private, "big")
        if len(private) != 32 or not 0 < number < _ORDER:
            raise ValueError("no private key of P-256")
        self._private = ec.derive_private_key(number, ec.SECP256R1())
        numbers = self._private.public_key().public_numbers()
        self.public = numbers.x.to_bytes(32, "big") + numbers.y.to_bytes(32, "big")

    @classmethod
    def generate(cls) -> KeyPair:
        """A fresh one, from the machine's randomness (5.4.2.3)."""
        private = ec.generate_private_key(ec.SECP256R1())
        return cls(private.private_numbers().private_value.to_bytes(32, "big"))

    def shared_secret(self, peer: bytes) -> bytes:
        """The ECDH secret with a peer's public key of 64 bytes (5.4.2.3).

        Raises Rejected: INVALID for a point that is not on the curve, REPLAYED for our own key sent back,
        which would let a device without any key pair through (Bluetooth Mesh erratum 16350).
        """
        if len(peer) != PUBLIC_KEY_BYTES:
            raise Rejected(RejectReason.INVALID, f"a public key of {len(peer)} bytes")
        # Whoever reflects X alone has the same secret as with X and Y.
        if hmac.compare_digest(peer[:32], self.public[:32]):
            raise Rejected(RejectReason.REPLAYED, "the peer sent our own public key back")
        try:
            point = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), b"\x04" + peer)
        except ValueError as error:
            raise Rejected(RejectReason.INVALID, "the public key is no point of P-256") from error
        return self._private.exchange(ec.ECDH(), point)

    def __repr__(self) -> str:
        return "KeyPair(********)"


@dataclass(frozen=True, slots=True)
class Agreement:
    """What both sides know once public keys are exchanged; makes confirmations and then session keys.

    `inputs` are the parameters of Invite, Capabilities and Start and the public keys, the provisioner's first
    (5.4.2.4.1). `authentication` has `size` bytes.
    """

    algorithm: Algorithm
    secret: bytes = field(repr=False)
    inputs: bytes = field(repr=False)

    @property
    def size(self) -> int:
        """Bytes of random values, confirmations and authentication values."""
        return 16 if self.algorithm is Algorithm.CMAC_AES128 else 32

    def salt(self) -> bytes:
        """ConfirmationSalt (5.4.2.4.1)."""
        return s1(self.inputs) if self.algorithm is Algorithm.CMAC_AES128 else s2(self.inputs)

    def confirmation_key(self, authentication: bytes) -> bytes:
        """ConfirmationKey; only the HMAC algorithm has the authentication value in it (5.4.2.4.1)."""
        if self.algorithm is Algorithm.CMAC_AES128:
            return k1(self.secret, self.salt(), b"prck")
        return k5(self.secret + authentication, self.salt(), b"prck256")

    def confirmation(self, random: bytes, authentication: bytes) -> bytes:
        """The confirmation of one side's random value (5.4.2.4.1)."""
        key = self.confirmation_key(authentication)
        if self.algorithm is Algorithm.CMAC_AES128:
            return aes_cmac(key, random + authentication)
        return hmac.digest(key, random, "sha256")

    def session(self, provisioner_random: bytes, device_random: bytes) -> Session:
        """The session's keys, from both random values (5.4.2.5)."""
        salt = s1(self.salt() + provisioner_random + device_random)
        return Session(
            key=k1(self.secret, salt, b"prsk"),
            nonce=k1(self.secret, salt, b"prsn")[3:],
            device_key=k1(self.secret, salt, b"prdk"),
        )


@dataclass(frozen=True, slots=True)
class Session:
    """SessionKey (16 bytes), SessionNonce (13) and the new node's DevKey (16) (5.4.2.5, 5.4.2.6)."""

    key: bytes = field(repr=False)
    nonce: bytes = field(repr=False)
    device_key: bytes = field(repr=False)

    def seal(self, data: bytes) -> bytes:
        """Encrypted provisioning data and MIC, 33 bytes (5.4.2.5)."""
        return Ccm(self.key).encrypt(self.nonce, data, _MIC_BYTES)

    def open(self, sealed: bytes) -> bytes | None:
        """The inverse (5.4.2.5); None when it was not sealed by the peer."""
        return Ccm(self.key).decrypt(self.nonce, sealed, _MIC_BYTES)


@dataclass(frozen=True, slots=True)
class NetworkData:
    """What makes a device a node (5.4.2.5): network key, its index, the IV index, and an address.

    `key_refresh` says that the key is the new one of a refresh in phase 2, `iv_update` that an IV update is
    in progress.
    """

    net_key: bytes = field(repr=False)
    key_index: int
    iv_index: int
    address: int
    key_refresh: bool = False
    iv_update: bool = False

    def to_wire(self) -> bytes:
        """25 bytes (5.4.2.5)."""
        flags = self.key_refresh | self.iv_update << 1
        return _DATA.pack(self.net_key, self.key_index, flags, self.iv_index, self.address)

    @classmethod
    def from_wire(cls, data: bytes) -> NetworkData:
        """The inverse (5.4.2.5). Raises Rejected(INVALID, OUT_OF_RANGE)."""
        if len(data) != DATA_BYTES:
            raise Rejected(RejectReason.INVALID, f"provisioning data of {len(data)} bytes")
        net_key, index, flags, iv_index, address = _DATA.unpack(data)
        if index > 0x0FFF or flags > 3:
            raise Rejected(RejectReason.INVALID, f"network key index {index}, flags {flags}")
        if not 0 < address <= UNICAST_MAX:
            raise Rejected(RejectReason.OUT_OF_RANGE, f"0x{address:04x} is no unicast address")
        return cls(net_key, index, iv_index, address, bool(flags & 1), bool(flags & 2))


def same(one: bytes, other: bytes) -> bool:
    """Whether two values are equal, in a time that does not tell where they differ."""
    return hmac.compare_digest(one, other)
