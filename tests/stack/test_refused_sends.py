"""What cannot go on air is refused at once and by name: nothing of it stays behind, nothing else suffers."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from common.errors import MeshtwinError, Misconfigured, Rejected, RejectReason, Unavailable
from firmware_bridge.stack import beacons, lower, network, upper
from firmware_bridge.stack.beacons import NetworkBeacon
from firmware_bridge.stack.control import Heartbeat
from firmware_bridge.stack.keys import ApplicationKey, NetworkKey, flooding
from firmware_bridge.stack.lower import AccessSegment, SegmentAck
from firmware_bridge.stack.network import NetworkPdu
from firmware_bridge.stack.node import StackNode
from firmware_bridge.stack.outbound import OUTGOING, SEGMENTED
from firmware_bridge.stack.sending import Outcome
from tests.stack.wire import APP, NET, node

PDU = NetworkPdu(False, 1, 1, 1, 2, b"abcdefg")


@pytest.mark.parametrize("size", [4, 100])
@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        (lambda one, p: one.send(0, p, 0.0, application=0), Rejected),
        (lambda one, p: one.send(-1, p, 0.0, application=0), Rejected),
        (lambda one, p: one.send(0x10000, p, 0.0, application=0), Rejected),
        (lambda one, p: one.send(0x10, p, 0.0, application=0, ttl=200), Rejected),
        (lambda one, p: one.send(0x10, p, 0.0, application=0, ttl=-1), Rejected),
        (lambda one, p: one.send(0x8001, p, 0.0, application=0), Rejected),
        (lambda one, p: one.send(0x10, p, 0.0, device=0x10, net_index=5), Misconfigured),
    ],
)
def test_a_refused_message_is_not_queued_and_uses_no_number(
    wrong: Callable[[StackNode, bytes], object], error: type[MeshtwinError], size: int
) -> None:
    one = node(1)
    for earlier in (False, True):
        if earlier:
            one.send(0x10, bytes(50), 0.0, application=0)
            one.outgoing()
        used = one.sequence.next
        with pytest.raises(error):
            wrong(one, bytes(size))
        assert one.sequence.next == used
        assert one.outgoing() == []
    one.poll(0.0)
    good = one.send(0x20, bytes(50), 0.0, application=0)
    while (at := one.next_time()) is not None:
        one.poll(at)
    assert (good, Outcome.UNANSWERED) in one.outcomes()


def test_a_message_whose_network_key_goes_away_ends_and_the_others_go_on() -> None:
    one = node(1)
    lost = one.send(0x10, bytes(50), 0.0, device=0x10, net_index=1)
    good = one.send(0xC005, bytes(50), 0.0, application=0)
    del one.keyring.subnets[1]
    while (at := one.next_time()) is not None:
        one.poll(at)
    assert sorted(outcome.name for _, outcome in one.outcomes()) == ["SENT", "UNANSWERED"]
    assert lost is not good


def test_a_message_has_one_key() -> None:
    one = node(1)
    with pytest.raises(ValueError, match="not both"):
        one.send(0x10, b"\x82\x01", 0.0)
    with pytest.raises(ValueError, match="not both"):
        one.send(0x10, b"\x82\x01", 0.0, application=0, device=0x10)


def test_segmented_messages_are_bounded_over_all_destinations() -> None:
    one = node(1)
    for destination in range(2, 2 + SEGMENTED):
        one.send(destination, bytes(100), 0.0, application=0)
    with pytest.raises(Unavailable):
        one.send(0x500, bytes(100), 0.0, application=0)
    one.send(0x500, bytes(4), 0.0, application=0)
    while (at := one.next_time()) is not None:
        one.poll(at)
        one.outgoing()
    one.send(0x500, bytes(100), 0.0, application=0)


def test_pdus_that_nobody_takes_are_bounded() -> None:
    one = node(1)
    one.send(0x10, bytes(100), 0.0, application=0)
    for _ in range(OUTGOING - 1):
        one.send(0x10, bytes(4), 0.0, application=0)
    used = one.sequence.next
    with pytest.raises(Unavailable):
        one.send(0x10, bytes(4), 0.0, application=0)
    with pytest.raises(Unavailable):
        one.send_control(0x10, Heartbeat(5, 0), 5)
    assert one.sequence.next == used
    one.poll(1.0)
    assert one.left_out == 1
    assert len(one.outgoing()) == OUTGOING
    one.send(0x10, bytes(4), 2.0, application=0)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: upper.encrypt(b"abc", ApplicationKey(APP), 1 << 24, 1, 2, 5),
        lambda: upper.encrypt(b"abc", ApplicationKey(APP), 1, 1, 0x10000, 5),
        lambda: upper.encrypt(b"abc", ApplicationKey(APP), 1, 1, 2, 1 << 32),
        lambda: upper.decrypt(bytes(8), ApplicationKey(APP), 1, 1, 2, 1 << 32),
        lambda: network.seal(PDU, flooding(NET), 1 << 32),
        lambda: network.seal(PDU, flooding(NET), -1),
        lambda: network.seal(PDU._replace(sequence=1 << 24), flooding(NET), 5),
        lambda: network.open_sealed(bytes(20), flooding(NET), 1 << 32),
        lambda: lower.build(SegmentAck(9_999_999, 1)),
        lambda: lower.build(AccessSegment(None, False, 1 << 13, 0, 1, bytes(12))),
        lambda: beacons.build_secure(NetworkBeacon(1 << 32), NetworkKey(NET)),
        lambda: beacons.build_secure(NetworkBeacon(-1), NetworkKey(NET)),
        lambda: beacons.build_private(NetworkBeacon(1 << 32), NetworkKey(NET), bytes(13)),
        lambda: beacons.node_identity(NetworkKey(NET), bytes(8), 0x10000),
    ],
)
def test_numbers_that_do_not_fit_their_field_are_out_of_range(wrong: Callable[[], object]) -> None:
    with pytest.raises(Rejected) as refused:
        wrong()
    assert refused.value.reason is RejectReason.OUT_OF_RANGE
