"""The shim's parts one by one, called as the daemon calls them; the crypto against an independent library."""

from __future__ import annotations

import ctypes
import os
import secrets
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESCCM
from cryptography.hazmat.primitives.cmac import CMAC
from hypothesis import given
from hypothesis import strategies as st

from common.errors import Misconfigured
from tools.meshlab import programs, shim

pytestmark = pytest.mark.meshlab

KEYS = st.binary(min_size=16, max_size=16)
NONCES = st.binary(min_size=13, max_size=13)


class Shim:
    """The library's functions with their C signatures."""

    def __init__(self, path: Path) -> None:
        c = ctypes.CDLL(str(path), use_errno=True)
        pointer, size, text = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p
        signatures = {
            "l_checksum_new_cmac_aes": (pointer, [text, size]),
            "l_checksum_update": (ctypes.c_bool, [pointer, text, size]),
            "l_checksum_get_digest": (ctypes.c_ssize_t, [pointer, pointer, size]),
            "l_checksum_free": (None, [pointer]),
            "l_cipher_new": (pointer, [ctypes.c_int, text, size]),
            "l_cipher_encrypt": (ctypes.c_bool, [pointer, text, pointer, size]),
            "l_cipher_free": (None, [pointer]),
            "l_aead_cipher_new": (pointer, [ctypes.c_int, text, size, size]),
            "l_aead_cipher_free": (None, [pointer]),
            "bind": (ctypes.c_int, [ctypes.c_int, text, ctypes.c_uint]),
            "recv": (ctypes.c_ssize_t, [ctypes.c_int, pointer, size, ctypes.c_int]),
            "send": (ctypes.c_ssize_t, [ctypes.c_int, text, size, ctypes.c_int]),
            "prctl": (ctypes.c_int, [ctypes.c_int] + [ctypes.c_ulong] * 4),
        }
        aead = [pointer, text, size, text, size, text, size, pointer, size]
        signatures["l_aead_cipher_encrypt"] = signatures["l_aead_cipher_decrypt"] = (ctypes.c_bool, aead)
        for name, (result, arguments) in signatures.items():
            function = getattr(c, name)
            function.restype, function.argtypes = result, arguments
        self.c = c

    def cmac(self, key: bytes, *messages: tuple[bytes, ...]) -> list[bytes]:
        """The digest of each message, given in pieces, all from one checksum object."""
        checksum = self.c.l_checksum_new_cmac_aes(key, len(key))
        digests = []
        for pieces in messages:
            for piece in pieces:
                assert self.c.l_checksum_update(checksum, piece, len(piece))
            out = ctypes.create_string_buffer(16)
            assert self.c.l_checksum_get_digest(checksum, out, 16) == 16
            digests.append(out.raw)
        self.c.l_checksum_free(checksum)
        return digests

    def ecb(self, key: bytes, block: bytes) -> bytes:
        cipher = self.c.l_cipher_new(0, key, len(key))
        out = ctypes.create_string_buffer(len(block))
        assert self.c.l_cipher_encrypt(cipher, block, out, len(block))
        self.c.l_cipher_free(cipher)
        return out.raw

    def seal(
        self, key: bytes, nonce: bytes, plain: bytes, ad: bytes = b"", mic: int = 4, told: int | None = None
    ) -> bytes | None:
        """Encrypt; `told` is the length that the caller gives where it is not that of `plain`."""
        length = len(plain) if told is None else told
        return self._aead(self.c.l_aead_cipher_encrypt, key, nonce, plain, ad, mic, length, length + mic)

    def open(self, key: bytes, nonce: bytes, sealed: bytes, ad: bytes = b"", mic: int = 4) -> bytes | None:
        length = len(sealed)
        return self._aead(self.c.l_aead_cipher_decrypt, key, nonce, sealed, ad, mic, length, length - mic)

    def _aead(
        self,
        function: ctypes._NamedFuncPointer,
        key: bytes,
        nonce: bytes,
        data: bytes,
        ad: bytes,
        mic: int,
        length: int,
        out_length: int,
    ) -> bytes | None:
        cipher = self.c.l_aead_cipher_new(0, key, len(key), mic)
        room = out_length & 0xFFFF
        # A relaying daemon hides the header with seven bytes, of which a heartbeat has six.
        out = self.out = ctypes.create_string_buffer(room + 8)
        done = function(cipher, data, length, ad, len(ad), nonce, 13, out, out_length)
        self.c.l_aead_cipher_free(cipher)
        return out.raw[:room] if done else None


@pytest.fixture(scope="module")
def library(shim_library: Path) -> Shim:
    return Shim(shim_library)


@given(key=KEYS, first=st.lists(st.binary(max_size=40), max_size=4), second=st.binary(max_size=64))
def test_cmac_agrees_and_starts_anew_after_each_digest(
    library: Shim, key: bytes, first: list[bytes], second: bytes
) -> None:
    assert library.cmac(key, tuple(first), (second,)) == [_cmac(key, b"".join(first)), _cmac(key, second)]


@given(key=KEYS, block=st.binary(min_size=16, max_size=16))
def test_ecb_agrees(library: Shim, key: bytes, block: bytes) -> None:
    encryptor = Cipher(algorithms.AES(key), modes.ECB()).encryptor()
    assert library.ecb(key, block) == encryptor.update(block) + encryptor.finalize()


@given(
    key=KEYS,
    nonce=NONCES,
    plain=st.binary(max_size=400),
    ad=st.binary(max_size=40),
    mic=st.sampled_from([4, 8]),
)
def test_ccm_agrees_both_ways(
    library: Shim, key: bytes, nonce: bytes, plain: bytes, ad: bytes, mic: int
) -> None:
    sealed = AESCCM(key, tag_length=mic).encrypt(nonce, plain, ad)
    assert library.seal(key, nonce, plain, ad, mic) == sealed
    assert library.open(key, nonce, sealed, ad, mic) == plain


@given(key=KEYS, nonce=NONCES, plain=st.binary(min_size=1, max_size=30), bit=st.integers(0, 1000))
def test_a_forged_packet_does_not_open(
    library: Shim, key: bytes, nonce: bytes, plain: bytes, bit: int
) -> None:
    sealed = bytearray(AESCCM(key, tag_length=4).encrypt(nonce, plain, b""))
    sealed[bit // 8 % len(sealed)] ^= 1 << bit % 8
    assert library.open(key, nonce, bytes(sealed)) is None


def test_what_the_daemon_never_asks_for_is_refused(library: Shim) -> None:
    assert library.c.l_cipher_new(1, bytes(16), 16) is None
    assert library.c.l_aead_cipher_new(0, bytes(16), 16, 5) is None
    assert library.c.l_checksum_new_cmac_aes(bytes(5), 5) is None
    assert library.seal(bytes(16), bytes(13), bytes(600)) is None
    assert library.open(bytes(16), bytes(13), bytes(3)) is None


# A network PDU's plain text is DST and the transport PDU; an access message has a MIC of four bytes and a
# control message, such as a heartbeat, one of eight.
@pytest.mark.parametrize(("ctl", "mic", "length"), [(0, 4, 18), (0, 4, 7), (0x80, 8, 14), (0x80, 8, 6)])
def test_a_relayed_packet_leaves_whole(library: Shim, unit: Unit, ctl: int, mic: int, length: int) -> None:
    key, plain = secrets.token_bytes(16), secrets.token_bytes(length)
    nonce = _network_nonce(ctl, 7)
    _hear(library, key, nonce, plain, mic)
    cut = _relay(library, key, _network_nonce(ctl, 6), plain, mic)
    expected = AESCCM(key, tag_length=mic).encrypt(_network_nonce(ctl, 6), plain, b"")
    assert cut == expected[:length]
    header = b"\x2a" + secrets.token_bytes(7)
    for _ in range(3):  # network and relay retransmissions
        assert unit.send(header + cut) == len(header + cut)
        assert unit.received() == header + expected


def test_the_header_of_a_relayed_heartbeat_is_hidden_with_a_byte_of_its_mic(library: Shim) -> None:
    key, plain = secrets.token_bytes(16), secrets.token_bytes(6)
    _hear(library, key, _network_nonce(0x80, 7), plain, 8)
    _relay(library, key, _network_nonce(0x80, 6), plain, 8)
    expected = AESCCM(key, tag_length=8).encrypt(_network_nonce(0x80, 6), plain, b"")
    assert library.out.raw[:7] == expected[:7]


def test_many_relayed_packets_may_wait_at_once(library: Shim, unit: Unit) -> None:
    key = secrets.token_bytes(16)
    waiting = []
    for sequence in range(100):
        plain = secrets.token_bytes(11)
        _hear(library, key, _network_nonce(0, 5, sequence), plain, 4)
        nonce = _network_nonce(0, 4, sequence)
        waiting.append(
            (_relay(library, key, nonce, plain, 4), AESCCM(key, tag_length=4).encrypt(nonce, plain, b""))
        )
    for cut, whole in waiting:
        unit.send(b"\x2a" + bytes(7) + cut)
        assert unit.received() == b"\x2a" + bytes(7) + whole


@pytest.mark.parametrize("difference", ["ttl", "sequence", "length", "ctl"])
def test_only_the_packet_last_heard_is_taken_for_relayed(library: Shim, difference: str) -> None:
    key, plain = secrets.token_bytes(16), secrets.token_bytes(12)
    _hear(library, key, _network_nonce(0, 7), plain, 4)
    nonce = {
        "ttl": _network_nonce(0, 7),
        "sequence": _network_nonce(0, 6, 8),
        "ctl": _network_nonce(0x80, 6),
    }.get(difference, _network_nonce(0, 6))
    told = 10 if difference == "length" else 8
    expected = AESCCM(key, tag_length=4).encrypt(nonce, plain[:told], b"")
    assert library.seal(key, nonce, plain, told=told) == expected


def test_a_daemon_without_the_fault_is_left_alone(library: Shim, unit: Unit) -> None:
    key, plain = secrets.token_bytes(16), secrets.token_bytes(12)
    _hear(library, key, _network_nonce(0, 7), plain, 4)
    sealed = library.seal(key, _network_nonce(0, 6), plain)
    assert sealed == AESCCM(key, tag_length=4).encrypt(_network_nonce(0, 6), plain, b"")
    unit.send(b"\x2a" + bytes(7) + sealed)
    assert unit.received() == b"\x2a" + bytes(7) + sealed


def test_the_daemon_gets_the_length_it_expects(unit: Unit) -> None:
    data = bytes(range(1, 23))
    unit.air.sendto(bytes((23, 0x2B)) + data, unit.address)
    assert unit.recv() == (23, bytes((23, 0x2B)) + data)


def test_a_short_packet_is_padded_to_what_the_daemon_does_not_ignore(unit: Unit) -> None:
    unit.air.sendto(b"\x08\x29\x01\x02\x03\x04\x05\x06", unit.address)
    got, buffer = unit.recv()
    assert got == 10
    assert buffer[:11] == b"\x08\x29\x01\x02\x03\x04\x05\x06\0\0\0"


def test_a_name_query_and_an_empty_queue_pass_harmlessly(unit: Unit) -> None:
    assert unit.recv()[0] == 0
    unit.air.sendto(b"\0", unit.address)
    assert unit.recv()[0] == 1


def test_an_air_started_anew_is_found(unit: Unit) -> None:
    unit.replace_air()
    assert unit.send(b"\x2b" + bytes(20)) == 21
    assert unit.received() == b"\x2b" + bytes(20)


def test_asking_for_a_signal_at_the_parents_death_is_ignored_and_the_rest_passed_on(library: Shim) -> None:
    set_death_signal, get_death_signal, get_dumpable = 1, 2, 3
    assert library.c.prctl(set_death_signal, 11, 0, 0, 0) == 0
    signal_now = ctypes.c_int(-1)
    assert library.c.prctl(get_death_signal, ctypes.addressof(signal_now), 0, 0, 0) == 0
    assert signal_now.value == 0
    assert library.c.prctl(get_dumpable, 0, 0, 0, 0) in (0, 1)


def test_the_shim_is_compiled_once_for_each_cache(tmp_path: Path) -> None:
    compiler = programs.find().compiler
    built = shim.build(compiler, tmp_path / "new")
    stamp = built.stat().st_mtime_ns
    assert shim.build("/does/not/exist", tmp_path / "new") == built
    assert built.stat().st_mtime_ns == stamp
    assert [path.name for path in built.parent.iterdir()] == [built.name]


def test_what_is_missing_for_compiling_is_named(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured) as missing:
        shim.build("/does/not/exist", tmp_path)
    assert missing.value.fix == "apt-get install gcc"
    without_headers = tmp_path / "cc"
    without_headers.write_text("#!/bin/sh\necho 'fatal error: openssl/aes.h: No such file' >&2; exit 1\n")
    without_headers.chmod(0o700)
    with pytest.raises(Misconfigured) as missing:
        shim.build(str(without_headers), tmp_path)
    assert missing.value.fix == "apt-get install libssl-dev"
    assert list(tmp_path.glob("*.so")) == []


class Unit:
    """The daemon's test I/O and the air that it sends to."""

    def __init__(self, library: Shim, folder: Path) -> None:
        self._library = library
        self._folder = folder
        self.address = str(folder / "node.0")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.air = self._new_air()
        os.environ["MESHLAB_AIR"] = str(folder / "air.0")
        packed = struct.pack("=H", socket.AF_UNIX) + self.address.encode() + b"\0"
        assert library.c.bind(self._socket.fileno(), packed, len(packed)) == 0

    def _new_air(self) -> socket.socket:
        path = self._folder / "air.0"
        path.unlink(missing_ok=True)
        air = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        air.settimeout(5)
        air.bind(str(path))
        return air

    def replace_air(self) -> None:
        self.air.close()
        self.air = self._new_air()

    def send(self, data: bytes) -> int:
        return int(self._library.c.send(self._socket.fileno(), data, len(data), socket.MSG_DONTWAIT))

    def received(self) -> bytes:
        return self.air.recv(64)

    def recv(self) -> tuple[int, bytes]:
        """What the daemon's receive call returns, and the buffer as it is then."""
        buffer = ctypes.create_string_buffer(31)
        got = self._library.c.recv(self._socket.fileno(), buffer, 31, socket.MSG_DONTWAIT)
        return got, buffer.raw[: max(0, got) + 1]

    def close(self) -> None:
        os.environ.pop("MESHLAB_AIR", None)
        self._socket.close()
        self.air.close()


@pytest.fixture
def unit(library: Shim, sockets: Path) -> Iterator[Unit]:
    made = Unit(library, sockets)
    yield made
    made.close()


def _cmac(key: bytes, message: bytes) -> bytes:
    cmac = CMAC(algorithms.AES(key))
    cmac.update(message)
    return cmac.finalize()


def _network_nonce(ctl: int, ttl: int, sequence: int = 7) -> bytes:
    return bytes((0, ctl | ttl)) + sequence.to_bytes(3, "big") + b"\x01\x02\0\0" + bytes(4)


def _hear(library: Shim, key: bytes, nonce: bytes, plain: bytes, mic: int) -> None:
    sealed = AESCCM(key, tag_length=mic).encrypt(nonce, plain, b"")
    assert library.open(key, nonce, sealed, mic=mic) == plain


def _relay(library: Shim, key: bytes, nonce: bytes, plain: bytes, mic: int) -> bytes:
    """Encrypt as the faulty daemon does: told the length without the MIC, as a 16-bit number."""
    cut = library.seal(key, nonce, plain, mic=mic, told=(len(plain) - mic) & 0xFFFF)
    assert cut is not None
    return cut
