"""Hostile bytes, and peers that break the rules: a named refusal each, and nothing is learned from us."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from common.errors import NotSupported, Rejected, RejectReason, Unavailable
from firmware_bridge.provisioning import beacon, generic, oob, pdus
from firmware_bridge.provisioning.attempts import FIRST_PAUSE_S, FREE, LONGEST_PAUSE_S, Attempts
from firmware_bridge.provisioning.device import Device
from firmware_bridge.provisioning.link import Arrived, LinkOpened
from firmware_bridge.provisioning.pb_adv import MAX_WAITING, AdvLink, wanted
from firmware_bridge.provisioning.pb_gatt import GattLink
from firmware_bridge.provisioning.pdus import (
    Algorithm,
    Capabilities,
    Choice,
    InputAction,
    Method,
    OutputAction,
)
from firmware_bridge.provisioning.provisioner import Capable, Provisioner, Refused, Send
from firmware_bridge.provisioning.security import KeyPair, NetworkData
from tests.provisioning import sample_data as sample

noise = st.binary(max_size=80)
KEYS, OTHER_KEYS = KeyPair(sample.PROVISIONER_PRIVATE), KeyPair(sample.DEVICE_PRIVATE)


@given(noise)
@example(b"\x00\x00\x00\x00")
@example(b"\xfc" + bytes(30))
def test_generic_pdus_are_parsed_or_refused(data: bytes) -> None:
    try:
        pdu = generic.parse(data)
    except Rejected:
        return
    assert generic.build(pdu) == data


@given(noise)
def test_provisioning_pdus_are_parsed_or_refused(data: bytes) -> None:
    try:
        pdu = pdus.parse(data)
    except Rejected:
        return
    again = pdus.build(pdu)
    assert len(again) == len(data)
    # Reserved bits of capabilities are not kept, all else is.
    assert pdus.parse(again) == pdu


@given(noise)
def test_beacons_are_parsed_or_refused(data: bytes) -> None:
    try:
        device = beacon.parse(data)
    except Rejected:
        return
    assert device is None or beacon.build(device) == data
    beacon.parse_service_data(data)


@given(st.binary(min_size=1, max_size=65), st.randoms())
def test_segments_come_together_in_any_order(pdu: bytes, random: Random) -> None:
    parts = generic.segments(pdu)
    assert all(len(generic.build(part)) <= 24 for part in parts)
    random.shuffle(parts)
    assembly = generic.Assembly()
    wholes = [assembly.take(part) for part in parts if isinstance(part, generic.Start | generic.Continuation)]
    assert wholes == [None] * (len(parts) - 1) + [pdu]


@given(st.lists(noise, max_size=30), st.booleans())
def test_a_link_survives_any_bytes(received: list[bytes], provisioner: bool) -> None:
    link = AdvLink(7, bytes(16), provisioner=provisioner, spread=lambda low, _: low)
    link.open(0.0)
    for number, data in enumerate(received):
        link.receive(bytes(3) + b"\x07" + data, float(number))
        link.poll(float(number))
        wanted(data, bytes(16))
    assert len(link.outgoing()) <= 2 * len(received) + 2


def test_a_flood_of_segments_costs_nothing_but_acknowledgements() -> None:
    link = AdvLink(7, bytes(16), provisioner=False, spread=lambda low, _: low)
    assert link.receive(bytes(3) + b"\x07\x00\x03" + bytes(16), 0.0) == [LinkOpened()]
    for index in range(1000):
        link.receive(bytes(3) + b"\x07" + bytes((0, (index % 64) << 2 | 2)) + bytes(23), 0.0)
    start = bytes(3) + b"\x07\x00" + generic.build(generic.segments(b"\0\0")[0])
    assert link.receive(start, 0.0) == [Arrived(b"\0\0")]
    assert not any(link.receive(start, 0.0) for _ in range(1000))
    link.outgoing()
    link.poll(1.0)
    assert len(link.outgoing()) == 1


def test_a_link_refuses_more_than_provisioning_needs() -> None:
    link = AdvLink(7, bytes(16), provisioner=True, spread=lambda low, _: low)
    with pytest.raises(Unavailable):
        link.send(b"\0\0", 0.0)
    link.open(0.0)
    link.receive(b"\0\0\0\x07\0\x07", 0.0)
    for _ in range(MAX_WAITING + 1):
        link.send(b"\0\0", 0.0)
    with pytest.raises(Unavailable):
        link.send(b"\0\0", 0.0)


@given(st.lists(noise, max_size=10))
def test_a_gatt_link_survives_any_bytes(received: list[bytes]) -> None:
    link = GattLink()
    link.open(0.0)
    for data in received:
        link.receive(data, 0.0)


def invited(**settings: object) -> Provisioner:
    machine = Provisioner(KEYS, Random(1).randbytes)
    machine.begin()
    assert isinstance(machine.receive(pdus.build(Capabilities(1)))[0], Capable)
    machine.choose(Choice())
    return machine


@given(st.lists(noise | st.sampled_from([b"\x08", b"\x04", b"\x09\x01", b"\x01" + bytes(11)]), max_size=6))
def test_a_provisioner_survives_any_bytes(received: list[bytes]) -> None:
    machine = invited()
    steps = [step for data in received for step in machine.receive(data)]
    assert len([step for step in steps if isinstance(step, Refused)]) <= 1
    assert not any(isinstance(step, Send) for step in steps)


@given(st.lists(noise, max_size=6))
def test_a_device_survives_any_bytes(received: list[bytes]) -> None:
    device = Device(Capabilities(1), OTHER_KEYS, Random(1).randbytes, Attempts())
    device.receive(b"\0\0", 0.0)
    for data in received:
        device.receive(data, 0.0)


def reason(steps: list[object]) -> RejectReason:
    (step,) = (step for step in steps if isinstance(step, Refused))
    return step.reason


def test_a_device_without_keys_that_sends_ours_back_is_refused() -> None:
    assert reason([*invited().receive(b"\x03" + KEYS.public)]) is RejectReason.REPLAYED
    machine = invited()
    (confirmation,) = machine.receive(b"\x03" + OTHER_KEYS.public)
    assert isinstance(confirmation, Send)
    assert reason([*machine.receive(confirmation.pdu)]) is RejectReason.REPLAYED
    machine = invited()
    machine.receive(b"\x03" + OTHER_KEYS.public)
    (random,) = machine.receive(b"\x05" + bytes(16))
    assert isinstance(random, Send)
    assert reason([*machine.receive(random.pdu)]) is RejectReason.REPLAYED


def test_a_confirmation_that_does_not_fit_its_random_value_is_refused() -> None:
    machine = invited()
    machine.receive(b"\x03" + OTHER_KEYS.public)
    machine.receive(b"\x05" + bytes(16))
    assert reason([*machine.receive(b"\x06" + bytes(16))]) is RejectReason.FORGED


def test_values_of_the_other_algorithm_are_refused() -> None:
    machine = invited()
    machine.receive(b"\x03" + OTHER_KEYS.public)
    assert reason([*machine.receive(b"\x05" + bytes(32))]) is RejectReason.INVALID


@pytest.mark.parametrize(
    ("pdu", "code"),
    [
        (b"\x0a", pdus.ErrorCode.INVALID_PDU),
        (b"\x02\x00", pdus.ErrorCode.INVALID_FORMAT),
        (b"\x08", pdus.ErrorCode.UNEXPECTED_PDU),
        (pdus.build(Choice(Algorithm.HMAC_SHA256)), pdus.ErrorCode.INVALID_FORMAT),
        (pdus.build(Choice(method=Method.STATIC)), pdus.ErrorCode.INVALID_FORMAT),
        (pdus.build(Choice(public_key_oob=True)), pdus.ErrorCode.INVALID_FORMAT),
    ],
)
def test_a_device_names_what_was_wrong(pdu: bytes, code: int) -> None:
    device = Device(Capabilities(1), OTHER_KEYS, Random(1).randbytes, Attempts())
    device.receive(b"\0\0", 0.0)
    assert Send(bytes((9, code))) in device.receive(pdu, 0.0)
    assert device.receive(b"\0\0", 0.0) == []


def test_the_pause_after_wrong_values_doubles_up_to_a_day() -> None:
    attempts = Attempts()
    for _ in range(FREE - 1):
        attempts.failed(0.0)
        attempts.check(0.0)
    pauses = []
    for _ in range(40):
        attempts.failed(0.0)
        with pytest.raises(Rejected) as caught:
            attempts.check(0.0)
        pauses.append(float(caught.value.detail.split()[-2]))
    assert pauses[:3] == [FIRST_PAUSE_S, 2 * FIRST_PAUSE_S, 4 * FIRST_PAUSE_S]
    assert pauses[-1] == LONGEST_PAUSE_S
    attempts.check(LONGEST_PAUSE_S)
    attempts.passed()
    attempts.check(0.0)


def test_authentication_values_are_those_of_the_specification() -> None:
    number = Choice(method=Method.OUTPUT, action=OutputAction.NUMBER, size=6)
    text = Choice(method=Method.OUTPUT, action=OutputAction.TEXT, size=6)
    assert oob.authentication(number, "019655").hex() == "00000000000000000000000000004cc7"
    assert oob.authentication(text, "123ABC").hex() == "31323341424300000000000000000000"
    assert oob.authentication(Choice(), "") == bytes(16)
    assert oob.authentication(Choice(Algorithm.HMAC_SHA256), "") == bytes(32)


@given(st.integers(1, 8), st.integers())
def test_fresh_values_can_be_entered(size: int, seed: int) -> None:
    ways = [(Method.OUTPUT, action) for action in OutputAction] + [(Method.INPUT, a) for a in InputAction]
    for method, action in ways:
        choice = Choice(method=method, action=action, size=size)
        value = oob.fresh(choice, Random(seed).randbytes)
        assert len(oob.authentication(choice, value)) == 16
        if action in (OutputAction.BLINK, InputAction.PUSH):
            assert int(value) >= 1


@pytest.mark.parametrize("value", ["", "1234567", "12a", "１２", "-1", b"1"])
def test_what_cannot_be_the_value_is_refused(value: str | bytes) -> None:
    with pytest.raises(Rejected) as caught:
        oob.authentication(Choice(method=Method.INPUT, action=InputAction.NUMBER, size=6), value)
    assert caught.value.reason is RejectReason.INVALID


def test_a_device_that_insists_on_authentication_gets_it_or_is_left() -> None:
    silent = Capabilities(1, oob_only=True)
    with pytest.raises(NotSupported):
        oob.choose(silent, static=False, interactive=True)
    with pytest.raises(NotSupported):
        oob.choose(Capabilities(1, algorithms=0), static=False, interactive=True)
    shows = Capabilities(1, output_size=4, output_actions=1)
    assert oob.choose(shows, static=False, interactive=False).method is Method.NONE
    assert oob.choose(shows, static=False, interactive=True, method=Method.NONE).method is Method.NONE


@given(st.binary(min_size=25, max_size=25))
def test_network_data_is_taken_or_refused(data: bytes) -> None:
    try:
        assert NetworkData.from_wire(data).to_wire() == data
    except Rejected:
        pass
