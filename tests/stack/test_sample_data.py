"""Every layer against the specification's sample data, in both directions, byte by byte."""

from __future__ import annotations

import pytest

from firmware_bridge.stack import control, crypto, lower, network, upper
from firmware_bridge.stack.keys import ApplicationKey, Credentials, DeviceKey, NetworkKey, friendship
from firmware_bridge.stack.lower import Access, AccessSegment, Control
from firmware_bridge.stack.network import NetworkPdu
from tests.stack.sample_data import APP_KEY, DEVICE_KEY, FRIENDSHIP, MESSAGES, NET_KEY, Sample

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
    payload = upper.decrypt(whole, key, *place, long_mic=long_mic)
    assert payload is not None
    assert payload.hex() == sample.access
    assert upper.encrypt(payload, key, *place, long_mic=long_mic) == whole
    if segments:
        assert lower.segments_of_access(whole, first.aid, long_mic, sample.sequence) == segments
