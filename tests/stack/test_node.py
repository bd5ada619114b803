"""Two nodes without a radio: a wire between them that loses, doubles and reorders what they say."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import Misconfigured, Rejected, RejectReason, Unavailable
from firmware_bridge.stack import beacons, control, network
from firmware_bridge.stack.beacons import NetworkBeacon
from firmware_bridge.stack.events import AccessReceived, HeartbeatReceived, IvIndexChanged, Received
from firmware_bridge.stack.iv_index import LEAST_STATE_S, Change, IvState
from firmware_bridge.stack.keyring import Keyring
from firmware_bridge.stack.node import StackNode
from firmware_bridge.stack.outbound import SEGMENTED
from firmware_bridge.stack.sending import Outcome
from firmware_bridge.stack.upper import virtual_address

NET = bytes(range(16))
APP = bytes(range(16, 32))
DEVICES = {0x0001: bytes([1] * 16), 0x0010: bytes([2] * 16)}
LABEL = bytes(range(64, 80))


class Disk:
    """What a node saved."""

    def __init__(self) -> None:
        self.iv = IvState(5)
        self.limit = 0

    def save(self, iv: IvState, limit: int) -> None:
        self.iv, self.limit = iv, limit


def node(address: int, disk: Disk | None = None, **options: object) -> StackNode:
    disk = disk or Disk()
    ring = Keyring.of({0: NET}, {0: (APP, 0)}, DEVICES, [LABEL])
    return StackNode(address, ring, disk.iv, disk.limit, disk.save, groups=[0xC001], **options)  # type: ignore[arg-type]


class Wire:
    """Carries what `nodes` send to each other, with faults from `random`, in steps of simulated time."""

    def __init__(self, *nodes: StackNode, loss: float = 0.0, doubles: float = 0.0, seed: int = 1) -> None:
        self.nodes = nodes
        self.loss, self.doubles = loss, doubles
        self.random = Random(seed)
        self.now = 0.0
        self.log: list[bytes] = []
        self.heard: dict[int, list[Received]] = {n.address: [] for n in nodes}

    def run(self, seconds: float, step: float = 0.01) -> None:
        end = self.now + seconds
        while self.now < end:
            for sender in self.nodes:
                sender.poll(self.now)
                self._carry(sender)
            self.now += step

    def _carry(self, sender: StackNode) -> None:
        batch = [pdu for pdu in sender.outgoing() for _ in range(1 + (self.random.random() < self.doubles))]
        self.random.shuffle(batch)
        for pdu in batch:
            self.log.append(pdu)
            for receiver in self.nodes:
                if receiver is not sender and self.random.random() >= self.loss:
                    self.heard[receiver.address] += receiver.receive(pdu, self.now)

    def payloads(self, address: int) -> list[bytes]:
        return [event.payload for event in self.heard[address] if isinstance(event, AccessReceived)]


def test_a_message_goes_under_an_application_key_and_is_answered_under_a_device_key() -> None:
    one, two = node(1), node(0x10)
    wire = Wire(one, two)
    one.send(0x10, b"\x82\x01", 0.0, application=0)
    two.send(1, b"\x80\x02\x00", 0.0, device=0x10)
    wire.run(0.1)
    assert wire.heard[0x10] == [AccessReceived(1, 0x10, b"\x82\x01", 0, 0, 7)]
    assert wire.heard[1] == [AccessReceived(0x10, 1, b"\x80\x02\x00", None, 0, 7)]


def test_groups_and_virtual_addresses_are_heard() -> None:
    one, two = node(1), node(0x10)
    wire = Wire(one, two)
    one.send(0xC001, b"\x82\x01", 0.0, application=0)
    one.send(0xC002, b"\x82\x02", 0.0, application=0)
    one.send(0xFFFF, b"\x82\x03", 0.0, application=0)
    one.send(virtual_address(LABEL), b"\x82\x04", 0.0, application=0, label=LABEL)
    wire.run(0.1)
    assert wire.payloads(0x10) == [b"\x82\x01", b"\x82\x03", b"\x82\x04"]


@pytest.mark.parametrize("loss", [0.0, 0.2, 0.4])
@pytest.mark.parametrize("long_mic", [False, True])
def test_a_long_message_arrives_once_over_a_bad_wire(loss: float, long_mic: bool) -> None:
    one, two = node(1), node(0x10)
    wire = Wire(one, two, loss=loss, doubles=0.2, seed=7)
    payload = bytes(range(256)) + bytes(100)
    handle = one.send(0x10, payload, 0.0, device=0x10, long_mic=long_mic)
    wire.run(20.0)
    assert wire.payloads(0x10) == [payload]
    assert one.outcomes() == [(handle, Outcome.SENT)]


def test_messages_to_one_destination_arrive_one_after_the_other() -> None:
    one, two = node(1), node(0x10)
    wire = Wire(one, two, loss=0.2, seed=3)
    payloads = [bytes([i]) * 30 for i in range(5)]
    for payload in payloads:
        one.send(0x10, payload, 0.0, application=0)
    one.send(0x10, b"\x82\x01", 0.0, application=0)
    wire.run(30.0)
    received = wire.payloads(0x10)
    assert [p for p in received if len(p) == 30] == payloads


def test_a_message_to_nobody_ends_unanswered() -> None:
    one = node(1)
    handle = one.send(0x22, bytes(40), 0.0, application=0)
    Wire(one).run(30.0)
    assert one.outcomes() == [(handle, Outcome.UNANSWERED)]
    assert one.next_time() is None


def test_a_group_gets_a_long_message_without_acknowledgement() -> None:
    one, two = node(1), node(0x10)
    wire = Wire(one, two, loss=0.3, seed=5)
    handle = one.send(0xC001, bytes(60), 0.0, application=0)
    wire.run(10.0)
    assert one.outcomes() == [(handle, Outcome.SENT)]
    assert wire.payloads(0x10) == [bytes(60)]
    assert two.outgoing() == []


def test_what_was_recorded_and_is_played_again_is_refused() -> None:
    one, two = node(1), node(0x10)
    wire = Wire(one, two)
    one.send(0x10, b"\x82\x01", 0.0, application=0)
    one.send(0x10, bytes(50), 0.0, application=0)
    wire.run(5.0)
    replayed = list(wire.log)
    for number in range(300):
        one.send(0x10, b"\x82" + number.to_bytes(2, "big"), wire.now, application=0)
        wire.run(0.01)
    before = len(wire.payloads(0x10))
    events = [event for pdu in replayed for event in two.receive(pdu, wire.now + 60)]
    assert events == []
    assert (len(wire.payloads(0x10)), two.refused[RejectReason.REPLAYED] > 0) == (before, True)


def test_a_heartbeat_tells_its_hops() -> None:
    one, two = node(1), node(0x10)
    wire = Wire(one, two)
    one.send_control(0xC001, control.Heartbeat(9, control.Features.RELAY), 7)
    wire.run(0.05)
    assert wire.heard[0x10] == [HeartbeatReceived(1, 0xC001, 3, 1)]


def test_a_restarted_node_uses_no_number_twice() -> None:
    disk, other = Disk(), node(0x10)
    used: set[int] = set()
    for _ in range(5):
        one = node(1, disk)
        wire = Wire(one, other)
        for _ in range(100):
            one.send(0x10, b"\x82\x01", 0.0, application=0)
            wire.run(0.01)
        assert len(wire.payloads(0x10)) == 100
        numbers = {
            pdu.sequence
            for data in wire.log
            if (pdu := network.open_sealed(data, one.keyring.transmit_key(0).credentials, 5))
        }
        assert not used & numbers
        used |= numbers
    assert other.refused == {}


def test_no_number_is_given_that_could_not_be_saved() -> None:
    def fails(iv: IvState, limit: int) -> None:
        raise Unavailable("the disk is full")

    one = StackNode(1, Keyring.of({0: NET}, {0: (APP, 0)}, {}), IvState(5), 0, fails)
    with pytest.raises(Unavailable, match="disk is full"):
        one.send(0x10, b"\x82\x01", 0.0, application=0)
    assert one.outgoing() == []


def test_an_iv_update_is_followed_without_losing_a_message() -> None:
    disk = Disk()
    one, two = node(1, disk), node(0x10)
    wire = Wire(one, two)
    key = one.keyring.transmit_key(0)
    day = LEAST_STATE_S
    for wall, said, change in (
        (day, NetworkBeacon(6, iv_update=True), Change.UPDATE_BEGAN),
        (day + 10, NetworkBeacon(6), None),
        (2 * day, NetworkBeacon(6), Change.UPDATE_ENDED),
        (2 * day + 10, NetworkBeacon(5), None),
        (3 * day, NetworkBeacon(30), Change.RECOVERED),
        (3 * day + 10, NetworkBeacon(60), None),
    ):
        told = one.beacon(beacons.build_secure(said, key), wall)
        two.beacon(beacons.build_secure(said, key), wall)
        assert told == ([IvIndexChanged(said.iv_index, change)] if change else [])
        one.send(0x10, b"\x82\x01", wire.now, application=0)
        two.send(1, b"\x82\x02", wire.now, application=0)
        wire.run(0.05)
    assert len(wire.payloads(0x10)) == len(wire.payloads(1)) == 6
    assert (disk.iv.index, one.sequence.next) == (30, 2)


def test_a_forged_beacon_moves_nothing() -> None:
    one = node(1)
    forged = bytearray(beacons.build_secure(NetworkBeacon(6, iv_update=True), one.keyring.transmit_key(0)))
    forged[-1] ^= 1
    assert one.beacon(bytes(forged), 1e9) == []
    assert one.iv == IvState(5)


def test_key_refresh_replaces_the_network_key_while_messages_go_on() -> None:
    from firmware_bridge.stack.key_refresh import Phase
    from firmware_bridge.stack.keys import NetworkKey

    one, two = node(1), node(0x10)
    wire = Wire(one, two)
    new = NetworkKey(bytes([9] * 16))

    def talk() -> None:
        one.send(0x10, b"\x82\x01", wire.now, application=0)
        two.send(1, b"\x82\x02", wire.now, application=0)
        wire.run(0.05)

    one.keyring.subnets[0] = one.keyring.subnets[0].distribute(new)
    talk()
    two.keyring.subnets[0] = two.keyring.subnets[0].distribute(new)
    one.keyring.subnets[0] = one.keyring.subnets[0].switch()
    talk()
    two.beacon(beacons.build_secure(NetworkBeacon(5, key_refresh=True), new), 0.0)
    assert two.keyring.subnets[0].phase is Phase.SWITCHED
    talk()
    for each in (one, two):
        each.beacon(beacons.build_secure(NetworkBeacon(5), new), 0.0)
        assert each.keyring.subnets[0].receive == (new,) or each.keyring.subnets[0].old.key == new.key
    talk()
    assert len(wire.payloads(0x10)) == len(wire.payloads(1)) == 4


def test_wrong_requests_are_named() -> None:
    one = node(1)
    with pytest.raises(Misconfigured, match="device key of 0x0099"):
        one.send(0x99, b"\x80\x08\x00", 0.0, device=0x99)
    with pytest.raises(Misconfigured, match="application key 7"):
        one.send(0x99, b"\x82\x01", 0.0, application=7)
    for size in (0, 381):
        with pytest.raises(Rejected):
            one.send(0x10, bytes(size), 0.0, application=0)
    for _ in range(SEGMENTED):
        one.send(0x10, bytes(50), 0.0, application=0)
    with pytest.raises(Unavailable, match="under way already"):
        one.send(0x10, bytes(50), 0.0, application=0)


def test_a_hostile_member_of_the_network_costs_bounded_memory() -> None:
    victim = node(0x10)
    for source in range(0x100, 0x900):
        flooder = node(source)
        flooder.send(0x10, bytes(300), 0.0, application=0)
        for pdu in flooder.outgoing():
            victim.receive(pdu, 0.0)
    assert len(victim.reassembler) <= 64
    assert victim.reassembler.evicted > 1000
    wire = Wire(node(1), victim)
    wire.nodes[0].send(0x10, bytes(40), 0.0, application=0)
    wire.run(5.0)
    assert wire.payloads(0x10) == [bytes(40)]


@given(st.lists(st.binary(max_size=40), max_size=20))
def test_any_bytes_are_taken_without_an_exception(noise: list[bytes]) -> None:
    one = node(1)
    nid = one.keyring.transmit_key(0).credentials.nid
    for data in noise:
        assert one.receive(data, 0.0) == one.beacon(data, 0.0) == []
        assert one.receive(bytes((nid | 0x80,)) + data, 0.0) == []


@given(st.binary(min_size=1, max_size=16), st.booleans(), st.integers(0, 127))
def test_any_transport_pdu_under_our_key_is_taken_without_an_exception(
    transport: bytes, is_control: bool, ttl: int
) -> None:
    one = node(1)
    transport = transport[:12] if is_control else transport
    pdu = network.NetworkPdu(is_control, ttl, 9, 0x10, 1, transport)
    one.receive(network.seal(pdu, one.keyring.transmit_key(0).credentials, 5), 0.0)
    one.poll(100.0)
