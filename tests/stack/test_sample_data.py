"""Every layer against the specification's sample data, in both directions, byte by byte."""

from __future__ import annotations

import pytest

from firmware_bridge.stack import beacons, control, crypto, lower, network, proxy, upper
from firmware_bridge.stack.beacons import NetworkBeacon
from firmware_bridge.stack.events import AccessReceived
from firmware_bridge.stack.iv_index import IvState
from firmware_bridge.stack.keyring import Keyring
from firmware_bridge.stack.keys import (
    ApplicationKey,
    Credentials,
    DeviceKey,
    NetworkKey,
    directed,
    friendship,
)
from firmware_bridge.stack.lower import Access, AccessSegment, Control
from firmware_bridge.stack.network import NetworkPdu
from firmware_bridge.stack.node import StackNode
from firmware_bridge.stack.proxy import Joiner, PduType
from firmware_bridge.stack.service_data import Identification, ProxyOffer, build, recognise
from tests.stack.sample_data import (
    APP_KEY,
    BEACONS,
    CONFIGURATIONS,
    DEVICE_KEY,
    FRIENDSHIP,
    MESSAGES,
    NET_KEY,
    PROXY_PIECES,
    PUBLIC_KEY_PDU,
    SERVICE_DATA,
    BeaconSample,
    ConfigurationSample,
    Sample,
)

NETWORK = NetworkKey(bytes.fromhex(NET_KEY))
APPLICATION = ApplicationKey(bytes.fromhex(APP_KEY))
DEVICE = DeviceKey(bytes.fromhex(DEVICE_KEY))

every_message = pytest.mark.parametrize("sample", MESSAGES, ids=lambda sample: f"8.3.{sample.section}")


def credentials_of(sample: Sample) -> Credentials:
    return friendship(NETWORK.key, *FRIENDSHIP) if sample.friendship else NETWORK.credentials


def pdus_of(sample: Sample) -> list[NetworkPdu]:
    return [
        NetworkPdu(
            sample.control,
            sample.ttl,
            sample.sequence + i,
            sample.source,
            sample.destination,
            bytes.fromhex(transport),
        )
        for i, transport in enumerate(sample.lower)
    ]


def test_the_derivation_functions_are_as_in_8_1() -> None:
    assert crypto.s1(b"test").hex() == "b73cefbd641ef2ea598c2b6efb62f79c"
    key = bytes.fromhex("3216d1509884b533248541792b877f98")
    salt, info = crypto.s1(b"salt"), crypto.s1(b"info")
    assert crypto.k1(key, salt, info).hex() == "f6ed15a8934afbe7d83e8dcb57fcf5d7"
    nid, encryption, privacy = crypto.k2(bytes.fromhex("f7a2a44f8e8a8029064f173ddc1e2b00"), b"\x00")
    assert (nid, encryption.hex(), privacy.hex()) == (
        0x7F,
        "9f589181a0f50de73c8070c7a6d27f46",
        "4c715bd4a64b938f99b453351653124f",
    )
    assert crypto.k3(bytes.fromhex("f7a2a44f8e8a8029064f173ddc1e2b00")).hex() == "ff046958233db014"
    assert crypto.k4(key) == 0x38


def test_friendship_material_is_as_in_8_1_4() -> None:
    p = bytes.fromhex("010203040506070809")
    nid, encryption, privacy = crypto.k2(bytes.fromhex("f7a2a44f8e8a8029064f173ddc1e2b00"), p)
    assert (nid, encryption.hex(), privacy.hex()) == (
        0x73,
        "11efec0642774992510fb5929646df49",
        "d4d7cc0dfa772d836a8df9df5510d7a7",
    )


def test_the_keys_are_as_in_8_2() -> None:
    assert APPLICATION.aid == 0x26
    assert NETWORK.credentials.nid == 0x68
    assert friendship(NETWORK.key, *FRIENDSHIP).nid == 0x5E
    assert NETWORK.network_id.hex() == "3ecaff672f673370"
    assert NETWORK.identity.hex() == "84396c435ac48560b5965385253e210c"
    assert NETWORK.beacon.hex() == "5423d967da639a99cb02231a83f7d254"


def test_directed_material_is_as_in_8_2_4() -> None:
    nid, encryption, privacy = crypto.k2(NETWORK.key, b"\x02")
    assert (nid, encryption.hex(), privacy.hex()) == (
        0x0D,
        "b47a02c6cc9b4ac4cb9b88e765c9ade4",
        "9bf7ab5a5ad415fbd77e07bb808f4865",
    )
    assert directed(NETWORK.key).nid == nid


@pytest.mark.parametrize(
    ("key", "private_beacon_key"),
    [
        ("3bbb6f1fbd53e157417f308ce7aec58f", "ca478cdac626b7a8522d7272dd124f26"),
        ("db662f48d477740621f5e301cdd69611", "0f30694a3a91b616a48a54701053cb90"),
    ],
)
def test_private_beacon_keys_are_as_in_8_2_8(key: str, private_beacon_key: str) -> None:
    assert NetworkKey(bytes.fromhex(key)).private_beacon.hex() == private_beacon_key


@every_message
def test_network_pdus_are_sealed_and_opened(sample: Sample) -> None:
    for pdu, data in zip(pdus_of(sample), sample.network, strict=True):
        sealed = bytes.fromhex(data)
        assert network.seal(pdu, credentials_of(sample), sample.iv_index) == sealed
        assert network.open_sealed(sealed, credentials_of(sample), sample.iv_index) == pdu


@every_message
def test_lower_transport_pdus_are_parsed_and_built(sample: Sample) -> None:
    for data in sample.lower:
        transport = bytes.fromhex(data)
        parsed = lower.parse(transport, sample.control)
        assert lower.build(parsed) == transport
        if isinstance(parsed, Control):
            message = control.parse(parsed)
            assert message is not None
            assert control.build(message) == parsed


@pytest.mark.parametrize(
    "sample", [s for s in MESSAGES if s.access is not None], ids=lambda sample: f"8.3.{sample.section}"
)
def test_access_payloads_are_encrypted_and_decrypted(sample: Sample) -> None:
    parts = [lower.parse(bytes.fromhex(data), sample.control) for data in sample.lower]
    first = parts[0]
    assert isinstance(first, (Access, AccessSegment))
    segments = [part for part in parts if isinstance(part, AccessSegment)]
    whole = lower.join(segments) if isinstance(first, AccessSegment) else first.upper
    long_mic = isinstance(first, AccessSegment) and first.long_mic
    key = DEVICE if first.aid is None else APPLICATION
    place = (sample.sequence, sample.source, sample.destination, sample.iv_index)
    label = None if sample.label is None else bytes.fromhex(sample.label)
    payload = upper.decrypt(whole, key, *place, long_mic=long_mic, label=label)
    assert payload is not None
    assert payload.hex() == sample.access
    assert upper.encrypt(payload, key, *place, long_mic=long_mic, label=label) == whole
    if label is not None:
        assert upper.virtual_address(label) == sample.destination
    if segments:
        assert lower.segments_of_access(whole, first.aid, long_mic, sample.sequence) == segments


@pytest.mark.parametrize(
    "sample",
    [s for s in MESSAGES if s.access is not None and not s.friendship],
    ids=lambda sample: f"8.3.{sample.section}",
)
def test_a_node_receives_the_messages_of_8_3(sample: Sample) -> None:
    labels = [] if sample.label is None else [bytes.fromhex(sample.label)]
    ring = Keyring.of({0: NETWORK.key}, {0: (APPLICATION.key, 0)}, {0x1201: DEVICE.key}, labels)
    address = sample.destination if sample.destination < 0x8000 else 0x0003
    node = StackNode(address, ring, IvState(sample.iv_index), 0, lambda iv, limit: None, groups=[0xC105])
    events = [event for data in sample.network for event in node.receive(bytes.fromhex(data), 0.0)]
    assert [event.payload.hex() for event in events if isinstance(event, AccessReceived)] == [sample.access]


@pytest.mark.parametrize("sample", BEACONS, ids=lambda sample: f"8.4.{sample.section}")
def test_beacons_are_built_and_parsed(sample: BeaconSample) -> None:
    key = NetworkKey(bytes.fromhex(sample.net_key))
    said = NetworkBeacon(sample.iv_index, sample.iv_update)
    built = (
        beacons.build_secure(said, key)
        if sample.random is None
        else beacons.build_private(said, key, bytes.fromhex(sample.random))
    )
    assert built.hex() == sample.beacon
    assert beacons.parse(built, key) == said


def test_service_data_is_built_and_recognised_as_in_8_6() -> None:
    offers = [recognise(bytes.fromhex(data), NETWORK, [0x0003, 0x1201]) for data in SERVICE_DATA.values()]
    assert offers == [
        ProxyOffer(Identification.NETWORK_ID),
        ProxyOffer(Identification.NODE_IDENTITY, 0x1201),
        ProxyOffer(Identification.PRIVATE_NETWORK),
        ProxyOffer(Identification.PRIVATE_NODE, 0x1201),
    ]
    random = bytes.fromhex("34ae608fbbc1f2c6")
    built = [build(offer, NETWORK, random).hex() for offer in offers if offer is not None]
    assert built == list(SERVICE_DATA.values())


def test_a_proxy_pdu_is_cut_and_joined_as_in_8_8() -> None:
    pieces = proxy.split(PduType.PROVISIONING, bytes.fromhex(PUBLIC_KEY_PDU), 20)
    assert [piece.hex() for piece in pieces] == list(PROXY_PIECES)
    joiner = Joiner()
    assert [joiner.take(piece, 0.0) for piece in pieces] == [
        None,
        None,
        None,
        (PduType.PROVISIONING, bytes.fromhex(PUBLIC_KEY_PDU)),
    ]


@pytest.mark.parametrize("sample", CONFIGURATIONS, ids=lambda sample: f"8.9.{sample.section}")
def test_proxy_configuration_is_sealed_opened_parsed_and_built(sample: ConfigurationSample) -> None:
    credentials = NetworkKey(bytes.fromhex(sample.net_key)).credentials
    transport = bytes.fromhex(sample.transport)
    pdu = NetworkPdu(True, 0, sample.sequence, sample.source, 0, transport)
    sealed = network.seal(pdu, credentials, 0x12345678, proxy=True)
    assert [piece.hex() for piece in proxy.split(PduType.CONFIGURATION, sealed, 66)] == [sample.proxy_pdu]
    assert network.open_sealed(sealed, credentials, 0x12345678, proxy=True) == pdu
    assert proxy.build_configuration(proxy.parse_configuration(transport)) == transport
