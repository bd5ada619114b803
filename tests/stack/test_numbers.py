"""Whatever happens to a node, no sequence number goes out twice under one IV index (3.9.3, 3.9.5)."""

from __future__ import annotations

from random import Random

import pytest

from common.errors import Rejected, Unavailable
from firmware_bridge.stack import beacons, control, lower, network
from firmware_bridge.stack.beacons import NetworkBeacon
from firmware_bridge.stack.iv_index import HOUR_S
from firmware_bridge.stack.lower import SegmentAck
from firmware_bridge.stack.node import StackNode
from tests.stack.wire import IV, Disk, node, sealed

STEPS = 400


class Life:
    """A node that sends, is acknowledged or not, hears beacons, and is killed; and all that it sent."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.disk = Disk()
        self.node = node(1, self.disk)
        self.now = self.wall = 1e6
        self.heard = 0
        self.used: dict[tuple[int, int], bytes] = {}
        self.kills = 0

    def step(self) -> None:
        self.now += self.random.expovariate(5.0)
        self.wall += self.random.choice((1.0, HOUR_S, 100 * HOUR_S))
        self.random.choice((self.speak, self.speak, self.hear, self.acknowledge, self.lead, self.die))()
        try:
            self.node.poll(self.now)
        except Unavailable:
            pass
        self.collect()

    def speak(self) -> None:
        payload = self.random.randbytes(self.random.choice((2, 11, 30, 300)))
        try:
            self.node.send(self.random.choice((0x10, 0x11, 0xC005)), payload, self.now, application=0)
        except Unavailable:
            pass
        self.node.send_control(0xC001, control.Heartbeat(5, 0), 5)

    def hear(self) -> None:
        index = self.node.iv.index + self.random.choice((-1, 0, 0, 1, 1, 2, 40, 50))
        said = NetworkBeacon(max(0, index), self.random.random() < 0.5)
        self.node.beacon(beacons.build_secure(said, self.node.keyring.transmit_key(0)), self.wall)

    def acknowledge(self) -> None:
        self.heard += 1
        ack = SegmentAck(self.random.randrange(300), self.random.getrandbits(5))
        pdu = sealed(self.node, lower.build(ack), self.heard, is_control=True, iv_index=self.node.iv.transmit)
        self.node.receive(pdu, self.now)

    def lead(self) -> None:
        if self.node.iv.updating:
            self.node.end_iv_update(self.wall)
        else:
            self.node.begin_iv_update(self.wall)

    def die(self) -> None:
        if self.random.random() < 0.3:
            # What was made and not yet transmitted is lost with the process: nobody has seen its numbers.
            self.kills += 1
            self.node = node(1, self.disk)

    def collect(self) -> None:
        for data in self.node.outgoing():
            place = placed(self.node, data)
            assert place not in self.used, f"IV index {place[0]}, number {place[1]}"
            self.used[place] = data


def placed(of: StackNode, data: bytes) -> tuple[int, int]:
    """IV index and sequence number of a PDU: it opens under the index that it was made with."""
    for index in (of.iv.index, of.iv.index - 1):
        try:
            pdu = network.open_sealed(data, of.keyring.transmit_key(0).credentials, index)
        except Rejected:
            continue
        if pdu is not None:
            return index, pdu.sequence
    raise AssertionError("under an IV index that is over")


@pytest.mark.parametrize("seed", range(12))
def test_no_number_is_used_twice_whatever_happens(seed: int) -> None:
    life = Life(seed)
    for _ in range(STEPS):
        life.step()
    assert len(life.used) > STEPS
    assert life.kills > 0
    assert life.node.iv.index > IV + 1
