"""Beacons against the sample data of Mesh Protocol 1.1, section 8.4."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import Rejected
from firmware_bridge.stack import beacons
from firmware_bridge.stack.beacons import NetworkBeacon
from firmware_bridge.stack.keys import NetworkKey
from firmware_bridge.stack.service_data import Identification, ProxyOffer, recognise

KEY = NetworkKey(bytes.fromhex("7dd7364cd842ad18c17c2b820c84c3d6"))
SECURE = bytes.fromhex("01003ecaff672f673370123456788ea261582f364f6f")
PRIVATE = (
    # 8.4.6.1 and 8.4.6.2: key, random, what it says, beacon.
    (
        "f7a2a44f8e8a8029064f173ddc1e2b00",
        "435f18f85cf78a3121f58478a5",
        NetworkBeacon(0x1010ABCD, iv_update=True),
        "02435f18f85cf78a3121f58478a561e488e7cbf3174f022a514741",
    ),
    (
        "3bbb6f1fbd53e157417f308ce7aec58f",
        "1b998f82927535ea6f3076f422",
        NetworkBeacon(0),
        "021b998f82927535ea6f3076f422ce827408ab2f0ffb94cf97f881",
    ),
)


def test_a_secure_network_beacon_is_as_in_8_4_3() -> None:
    assert beacons.build_secure(NetworkBeacon(0x12345678), KEY) == SECURE
    assert beacons.parse(SECURE, KEY) == NetworkBeacon(0x12345678)


@pytest.mark.parametrize(("key", "random", "said", "beacon"), PRIVATE)
def test_a_private_beacon_is_as_in_8_4_6(key: str, random: str, said: NetworkBeacon, beacon: str) -> None:
    network = NetworkKey(bytes.fromhex(key))
    assert beacons.build_private(said, network, bytes.fromhex(random)).hex() == beacon
    assert beacons.parse(bytes.fromhex(beacon), network) == said
    assert beacons.parse(bytes.fromhex(beacon), KEY) is None


@pytest.mark.parametrize("at", range(1, len(SECURE)))
def test_a_beacon_with_one_changed_byte_is_not_believed(at: int) -> None:
    forged = SECURE[:at] + bytes((SECURE[at] ^ 1,)) + SECURE[at + 1 :]
    assert beacons.parse(forged, KEY) is None


@given(st.binary(max_size=40))
def test_any_bytes_are_a_beacon_nothing_or_a_named_error(data: bytes) -> None:
    try:
        assert beacons.parse(data, KEY) is None
    except Rejected:
        pass
    assert recognise(data, KEY, [1, 2]) is None


@given(st.integers(0, 2**32 - 1), st.booleans(), st.booleans(), st.binary(min_size=13, max_size=13))
def test_what_is_built_is_parsed(iv_index: int, iv_update: bool, refresh: bool, random: bytes) -> None:
    said = NetworkBeacon(iv_index, iv_update, refresh)
    assert beacons.parse(beacons.build_secure(said, KEY), KEY) == said
    assert beacons.parse(beacons.build_private(said, KEY, random), KEY) == said


def test_a_proxy_is_recognised_by_network_and_by_node() -> None:
    random = bytes(range(8))
    by_network = b"\x00" + KEY.network_id
    by_node = b"\x01" + beacons.node_identity(KEY, random, 0x1201) + random
    by_private_network = b"\x02" + beacons.private_network_identity(KEY, random) + random
    by_private_node = b"\x03" + beacons.node_identity(KEY, random, 0x1201, private=True) + random
    known = [0x0001, 0x1201]
    assert recognise(by_network, KEY) == ProxyOffer(Identification.NETWORK_ID)
    assert recognise(by_node, KEY, known) == ProxyOffer(Identification.NODE_IDENTITY, 0x1201)
    assert recognise(by_private_network, KEY) == ProxyOffer(Identification.PRIVATE_NETWORK)
    assert recognise(by_private_node, KEY, known) == ProxyOffer(Identification.PRIVATE_NODE, 0x1201)
    other = NetworkKey(bytes(16))
    for data in (by_network, by_node, by_private_network, by_private_node):
        assert recognise(data, other, known) is None
    assert recognise(by_node, KEY, [0x0001]) is None
