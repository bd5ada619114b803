"""Both sides of provisioning against the specification's sample data, byte by byte (8.7, 8.8, 8.17)."""

from __future__ import annotations

from typing import Any

import pytest

from common.errors import Rejected, RejectReason
from firmware_bridge.provisioning import beacon, generic, pdus
from firmware_bridge.provisioning.attempts import Attempts
from firmware_bridge.provisioning.device import Device, Joined
from firmware_bridge.provisioning.link import Arrived, LinkClosed, LinkOpened
from firmware_bridge.provisioning.pb_adv import AdvLink, wanted
from firmware_bridge.provisioning.pb_gatt import GattLink
from firmware_bridge.provisioning.pdus import Algorithm, Capabilities, Choice, Method
from firmware_bridge.provisioning.provisioner import Authenticated, Capable, Provisioned, Provisioner
from firmware_bridge.provisioning.security import Agreement, KeyPair, NetworkData, uri_hash
from firmware_bridge.stack.proxy import Joiner, PduType, split
from tests.provisioning import sample_data as sample
from tests.provisioning.pair import talk

ALGORITHMS = [(Algorithm.CMAC_AES128, sample.CMAC), (Algorithm.HMAC_SHA256, sample.HMAC)]


def test_the_shared_secret_is_the_samples_from_either_side() -> None:
    provisioner, device = KeyPair(sample.PROVISIONER_PRIVATE), KeyPair(sample.DEVICE_PRIVATE)
    assert (provisioner.public, device.public) == (sample.PROVISIONER_PUBLIC, sample.DEVICE_PUBLIC)
    assert provisioner.shared_secret(device.public) == sample.SECRET
    assert device.shared_secret(provisioner.public) == sample.SECRET


@pytest.mark.parametrize(("algorithm", "data"), ALGORITHMS)
def test_every_derived_value_is_the_samples(algorithm: Algorithm, data: dict[str, str]) -> None:
    value = {name: bytes.fromhex(text) for name, text in data.items()}
    inputs = b"\0" + value["capabilities"] + value["start"]
    inputs += sample.PROVISIONER_PUBLIC + sample.DEVICE_PUBLIC
    agreement = Agreement(algorithm, sample.SECRET, inputs)
    assert agreement.salt() == value["salt"]
    assert agreement.confirmation_key(value["authentication"]) == value["confirmation_key"]
    for side in ("provisioner", "device"):
        made = agreement.confirmation(value[f"{side}_random"], value["authentication"])
        assert made == value[f"{side}_confirmation"]
    session = agreement.session(value["provisioner_random"], value["device_random"])
    assert (session.key, session.nonce) == (value["session_key"], value["session_nonce"])
    assert session.device_key == value["device_key"]
    assert session.seal(sample.NETWORK_DATA) == value["sealed"]
    assert session.open(value["sealed"]) == sample.NETWORK_DATA
    assert session.device_key.hex() not in repr((agreement, session))


def test_the_network_data_is_the_samples() -> None:
    data = NetworkData.from_wire(sample.NETWORK_DATA)
    assert (data.key_index, data.iv_index, data.address) == (0x0567, 0x01020304, 0x0B0C)
    assert (data.key_refresh, data.iv_update) == (False, False)
    assert data.to_wire() == sample.NETWORK_DATA


@pytest.mark.parametrize(("algorithm", "data"), ALGORITHMS)
def test_both_machines_speak_the_samples_conversation(algorithm: Algorithm, data: dict[str, str]) -> None:
    value = {name: bytes.fromhex(text) for name, text in data.items()}
    static = value["authentication"] if algorithm is Algorithm.HMAC_SHA256 else None
    provisioner = Provisioner(
        KeyPair(sample.PROVISIONER_PRIVATE), lambda _: value["provisioner_random"], static=static
    )
    capabilities = pdus.parse(b"\x01" + value["capabilities"])
    assert isinstance(capabilities, Capabilities)
    device = Device(
        capabilities,
        KeyPair(sample.DEVICE_PRIVATE),
        lambda _: value["device_random"],
        Attempts(),
        static=static,
    )
    seen: list[object] = []

    def answer(step: object) -> list[Any]:
        seen.append(step)
        if isinstance(step, Capable):
            return provisioner.choose(Choice(algorithm, method=Method.STATIC if static else Method.NONE))
        if isinstance(step, Authenticated):
            assert step.device_key == value["device_key"]
            return provisioner.distribute(NetworkData.from_wire(sample.NETWORK_DATA))
        return []

    said = talk(provisioner, device, answer)
    assert said == [
        b"\x00\x00",
        b"\x01" + value["capabilities"],
        b"\x02" + value["start"],
        b"\x03" + sample.PROVISIONER_PUBLIC,
        b"\x03" + sample.DEVICE_PUBLIC,
        b"\x05" + value["provisioner_confirmation"],
        b"\x05" + value["device_confirmation"],
        b"\x06" + value["provisioner_random"],
        b"\x06" + value["device_random"],
        b"\x07" + value["sealed"],
        b"\x08",
    ]
    assert Provisioned() in seen
    assert Joined(NetworkData.from_wire(sample.NETWORK_DATA), value["device_key"]) in seen


@pytest.mark.parametrize(("text", "check"), sample.FRAME_CHECKS.items())
def test_frame_checks_are_the_samples(text: str, check: int) -> None:
    assert generic.frame_check(bytes.fromhex(text)) == check


def test_a_link_opens_sends_and_closes_like_the_samples() -> None:
    link = AdvLink(sample.LINK_ID, sample.UUID, provisioner=True, spread=lambda low, _: low)
    link.open(0.0)
    link.poll(0.0)
    assert link.outgoing() == [sample.LINK_OPEN]
    assert link.receive(sample.LINK_ACK, 0.1) == [LinkOpened()]
    sent: list[bytes] = []
    now = 0.1
    for number, pdu in enumerate((b"\0\0", b"\x02" + bytes(5), b"\x03" + sample.PROVISIONER_PUBLIC)):
        link.send(pdu, now)
        for _ in range(3 if number == 2 else 1):
            link.poll(now)
            sent += link.outgoing()
            now += 0.02
        link.receive(sample.TRANSACTION_ACK[:4] + bytes((number, 1)), now)
    assert sent[0] == sample.INVITE
    assert sent[2:] == sample.PUBLIC_KEY_SEGMENTS
    link.close(generic.CloseReason.SUCCESS, now)
    link.poll(now)
    assert link.outgoing() == [sample.LINK_CLOSE]


def test_a_device_takes_the_link_of_the_samples() -> None:
    assert wanted(sample.LINK_OPEN, sample.UUID) == sample.LINK_ID
    assert wanted(sample.LINK_OPEN, bytes(16)) is None
    assert wanted(sample.INVITE, sample.UUID) is None
    link = AdvLink(sample.LINK_ID, sample.UUID, provisioner=False, spread=lambda low, _: low)
    assert link.receive(sample.LINK_OPEN, 0.0) == [LinkOpened()]
    assert link.outgoing() == [sample.LINK_ACK]
    assert link.receive(sample.INVITE, 0.0) == [Arrived(b"\0\0")]
    link.poll(0.1)
    assert link.outgoing() == [sample.TRANSACTION_ACK]
    assert link.receive(sample.LINK_CLOSE, 0.2) == [LinkClosed(0, by_peer=True)]


def test_a_public_key_goes_over_gatt_like_the_samples() -> None:
    one, other, joiner = GattLink(), GattLink(), Joiner()
    for link in (one, other):
        link.open(0.0)
        assert link.poll(0.0) == [LinkOpened()]
    one.send(b"\x03" + sample.PROVISIONER_PUBLIC, 0.0)
    (pdu,) = one.outgoing()
    assert split(PduType.PROVISIONING, pdu, 20) == sample.GATT_PIECES
    (*_, whole) = (joiner.take(piece, 0.0) for piece in sample.GATT_PIECES)
    assert whole is not None
    assert other.receive(whole[1], 0.0) == [Arrived(b"\x03" + sample.PROVISIONER_PUBLIC)]


def test_beacons_of_unprovisioned_devices_are_the_samples() -> None:
    for device, data in sample.BEACONS:
        assert beacon.build(device) == data
        assert beacon.parse(data) == device
    assert sample.BEACONS[0][0].places() == ("string", "on a piece of paper", "on the device")
    assert sample.BEACONS[1][0].places() == ("number", "in the manual")
    assert uri_hash(sample.URI) == sample.BEACONS[1][0].uri_hash


@pytest.mark.parametrize("change", [b"\x01", b"\x80"])
def test_a_point_off_the_curve_is_refused(change: bytes) -> None:
    wrong = sample.DEVICE_PUBLIC[:-1] + bytes((sample.DEVICE_PUBLIC[-1] ^ change[0],))
    with pytest.raises(Rejected) as caught:
        KeyPair(sample.PROVISIONER_PRIVATE).shared_secret(wrong)
    assert caught.value.reason is RejectReason.INVALID


def test_our_own_key_sent_back_is_refused() -> None:
    keys = KeyPair(sample.PROVISIONER_PRIVATE)
    for reflected in (keys.public, keys.public[:32] + bytes(32)):
        with pytest.raises(Rejected) as caught:
            keys.shared_secret(reflected)
        assert caught.value.reason is RejectReason.REPLAYED
