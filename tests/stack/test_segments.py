"""Segmentation and reassembly where it is easy to get wrong (3.5.3)."""

from __future__ import annotations

import pytest

from common.errors import Rejected, RejectReason, Unavailable
from firmware_bridge.stack import lower, upper
from firmware_bridge.stack.beacons import NetworkBeacon, build_secure
from firmware_bridge.stack.events import AccessReceived
from firmware_bridge.stack.iv_index import LEAST_STATE_S, Change, IvState
from firmware_bridge.stack.lower import AccessSegment, SegmentAck
from firmware_bridge.stack.node import StackNode
from firmware_bridge.stack.reassembly import ANSWERS_AT_ONCE, Arrival, Reassembler
from firmware_bridge.stack.sar import SarTransmitter
from firmware_bridge.stack.sending import Outcome, SegmentedSending
from tests.stack.wire import IV, keyring, node, opened, sealed

SHORT = SarTransmitter(unicast_repetitions=1, unicast_repetitions_without_progress=1)


def segments(to: StackNode, payload: bytes, sequence: int, application: int = 0) -> list[bytes]:
    """The lower transport PDUs of a message from 0x10 to node 1."""
    key = to.keyring.application(application)
    sealed_payload = upper.encrypt(payload, key, sequence, 0x10, 1, IV)
    return [lower.build(s) for s in lower.segments_of_access(sealed_payload, key.aid, False, sequence)]


def acks(of: StackNode, now: float) -> list[SegmentAck]:
    of.poll(now)
    parsed = [lower.parse(opened(of, data).transport, True) for data in of.outgoing()]
    return [ack for ack in parsed if isinstance(ack, SegmentAck)]


def test_segments_may_arrive_between_other_messages_and_in_any_order() -> None:
    one = node(1)
    parts = segments(one, bytes(range(30)), 10)
    whole: list[object] = []
    key = one.keyring.application(0)
    for number, transport in ((12, parts[2]), (11, parts[1])):
        whole += one.receive(sealed(one, transport, number), 0.0)
    between = upper.encrypt(b"\x82\x01", key, 20, 0x10, 1, IV)
    whole += one.receive(sealed(one, lower.build(lower.Access(key.aid, between)), 20), 0.0)
    # The first segment was overtaken by a later message, and still is no replay.
    whole += one.receive(sealed(one, parts[0], 10), 0.0)
    assert [e.payload for e in whole if isinstance(e, AccessReceived)] == [b"\x82\x01", bytes(range(30))]
    # The list stays at the later message.
    assert not one.replay.is_new(0x10, IV, 20)


def test_a_message_that_is_only_begun_does_not_make_its_source_a_replay() -> None:
    one = node(1)
    parts = segments(one, bytes(30), 10)
    one.receive(sealed(one, parts[0], 10), 0.0)
    one.poll(100.0)
    again = segments(one, bytes(range(30)), 13)
    events = [e for n, part in enumerate(again, 13) for e in one.receive(sealed(one, part, n), 100.0)]
    assert [e.payload for e in events if isinstance(e, AccessReceived)] == [bytes(range(30))]


def test_recorded_segments_of_a_finished_message_are_not_answered_again() -> None:
    one = node(1)
    recording = [sealed(one, part, n) for n, part in enumerate(segments(one, bytes(30), 10), 10)]
    for data in recording:
        one.receive(data, 0.0)
    assert len(acks(one, 0.0)) == 1
    flush_cache(one)
    before = one.sequence.next
    for data in recording:
        assert one.receive(data, 2.0) == []
    assert acks(one, 3.0) == []
    assert one.sequence.next == before


def test_a_sender_that_missed_the_acknowledgement_gets_it_again() -> None:
    one = node(1)
    parts = segments(one, bytes(30), 10)
    for number, part in enumerate(parts, 10):
        one.receive(sealed(one, part, number), 0.0)
    acks(one, 0.0)
    one.receive(sealed(one, parts[0], 13), 1.0)
    assert acks(one, 1.1) == [SegmentAck(10, 0b111)]
    assert acks(one, 9.0) == []


def flush_cache(one: StackNode) -> None:
    """Let other traffic push what came before out of the message cache."""
    for number in range(300):
        one.receive(sealed(one, b"\x00" * 6, number, source=0x77, destination=0xC00F), 1.0)


def test_an_acknowledgement_goes_out_in_the_subnet_of_the_message() -> None:
    one = node(1)
    for number, part in enumerate(segments(one, bytes(30), 10, application=1), 10):
        one.receive(sealed(one, part, number, net_index=1), 0.0)
    one.poll(0.0)
    (data,) = one.outgoing()
    assert data[0] & 0x7F == one.keyring.transmit_key(1).credentials.nid


@pytest.mark.parametrize(("received", "answered"), [(0, 0), (1, 7), (5, 7)])
def test_a_neighbours_message_is_acknowledged_to_neighbours_alone(received: int, answered: int) -> None:
    one = node(1)
    for number, part in enumerate(segments(one, bytes(30), 10), 10):
        one.receive(sealed(one, part, number, ttl=received), 0.0)
    one.poll(0.0)
    assert [opened(one, data).ttl for data in one.outgoing()] == [answered]


def test_an_acknowledgement_to_a_group_is_nobodys() -> None:
    one = node(1)
    one.send(0x10, bytes(30), 0.0, application=0)
    seq_zero = 0
    one.receive(
        sealed(one, lower.build(SegmentAck(seq_zero, 7)), 1, destination=0xFFFF, is_control=True), 0.0
    )
    assert one.outcomes() == []
    one.receive(sealed(one, lower.build(SegmentAck(seq_zero, 7)), 2, is_control=True), 0.0)
    assert [outcome for _, outcome in one.outcomes()] == [Outcome.SENT]


def test_acknowledgements_are_bounded_in_the_long_run() -> None:
    one = Reassembler()
    segment = AccessSegment(None, False, 0, 0, 0, b"12345")
    sent = 0
    for second in range(100):
        for number in range(100):
            sequence = (second * 100 + number) << 13
            one.take(Arrival(segment, 0x10, 1, sequence, 5, 3, True), second)
            sent += len(one.poll(second + number / 100))
    assert sent <= ANSWERS_AT_ONCE + 100 * 16
    assert one.silenced == 100 * 100 - sent


def test_a_sender_waits_after_its_last_time_for_one_more_acknowledgement() -> None:
    parts = lower.segments_of_access(bytes(30), None, False, 0)
    sending = SegmentedSending(parts, True, 3, SHORT, 0.0)
    now = 0.0
    for _ in range(6):
        assert sending.next_time is not None
        now = sending.next_time
        sending.due(now)
    sending.acknowledge(SegmentAck(0, 0b011), now)
    assert sending.due(now) == []
    assert sending.outcome is None
    sending.acknowledge(SegmentAck(0, 0b111), now)
    assert sending.outcome is Outcome.SENT


def test_a_message_ends_when_its_first_number_can_no_longer_be_told() -> None:
    one = node(1)
    handle = one.send(0x10, bytes(30), 0.0, application=0)
    one.sequence.take(lower.SEQ_ZERO_MASK + 1)
    one.poll(1.0)
    assert one.outcomes() == [(handle, Outcome.UNANSWERED)]


def test_no_number_of_an_old_iv_index_is_used_again_by_a_message_under_way() -> None:
    one = node(1)
    handle = one.send(0x10, bytes(200), 0.0, application=0)
    one.poll(0.1)
    one.outgoing()
    beacon = build_secure(NetworkBeacon(IV + 9), one.keyring.transmit_key(0))
    assert one.beacon(beacon, 2 * LEAST_STATE_S)[0].change is Change.RECOVERED  # type: ignore[union-attr]
    assert one.outcomes() == [(handle, Outcome.UNANSWERED)]
    one.poll(5.0)
    one.send(0x10, bytes(20), 5.0, application=0)
    one.poll(6.0)
    assert {opened(one, data, IV + 9).sequence for data in one.outgoing()} == {0, 1}


def test_control_messages_are_put_together_from_segments_of_eight_bytes() -> None:
    parts = lower.segments_of_control(bytes(range(20)), 0x0A, 7)
    assert [len(part.segment) for part in parts] == [8, 8, 4]
    assert [lower.parse(lower.build(part), True) for part in parts] == parts
    assembler = Reassembler()
    wholes = [assembler.take(Arrival(part, 0x10, 1, 7 + i, 5, 3, True), 0.0) for i, part in enumerate(parts)]
    assert wholes[:2] == [None, None]
    assert wholes[2] is not None
    assert wholes[2].upper == bytes(range(20))


def test_what_no_sender_may_send_is_named() -> None:
    with pytest.raises(Rejected) as segmented_ack:
        lower.parse(bytes.fromhex("80000000") + bytes(8), True)
    with pytest.raises(Rejected) as block:
        lower.build(SegmentAck(0, 1 << 32))
    with pytest.raises(Rejected) as long_ack:
        lower.parse(bytes(8), True)
    reasons = [error.value.reason for error in (segmented_ack, block, long_ack)]
    assert reasons == [RejectReason.INVALID, RejectReason.OUT_OF_RANGE, RejectReason.OVERSIZED]


def test_seq_zero_before_the_first_number_is_refused() -> None:
    one = node(1)
    one.receive(sealed(one, bytes.fromhex("80fffc00") + bytes(12), 3), 0.0)
    assert one.refused == {RejectReason.OUT_OF_RANGE: 1}
    assert len(one.reassembler) == 0


def test_acknowledgements_of_different_parts_add_up() -> None:
    one = node(1)
    handle = one.send(0x10, bytes(30), 0.0, application=0)
    one.poll(1.0)
    for number, block in enumerate((0b011, 0b100)):
        one.receive(sealed(one, lower.build(SegmentAck(0, block)), number, is_control=True), 1.0)
    assert one.outcomes() == [(handle, Outcome.SENT)]


class Full:
    """A disk that has no room while `full`."""

    def __init__(self) -> None:
        self.full = False

    def save(self, iv: IvState, limit: int) -> None:
        if self.full:
            raise Unavailable("the disk is full")


def test_nothing_that_waits_is_lost_while_no_numbers_can_be_reserved() -> None:
    disk = Full()
    one = StackNode(1, keyring(), IvState(IV), 0, disk.save)
    handles = [one.send(0x10, bytes([i]) * 30, 0.0, application=0) for i in range(3)]
    one.sequence.take(one.sequence.limit - one.sequence.next)
    disk.full = True
    one.receive(sealed(one, lower.build(SegmentAck(0, 7)), 1, is_control=True), 0.0)
    assert one.outcomes() == [(handles[0], Outcome.SENT)]
    with pytest.raises(Unavailable):
        one.send(0x11, bytes(30), 0.0, application=0)
    retry = one.next_time()
    assert retry == 1.0
    with pytest.raises(Unavailable):
        one.poll(retry)
    disk.full = False
    one.outgoing()
    while (at := one.next_time()) is not None:
        one.poll(at)
    ends = dict(one.outcomes())
    assert [ends.get(handle) for handle in handles[1:]] == [Outcome.UNANSWERED] * 2
    assert {opened(one, data).destination for data in one.outgoing()} == {0x10}


def test_a_label_that_does_not_fit_is_refused_at_once() -> None:
    with pytest.raises(Rejected):
        node(1).send(0x8000, bytes(50), 0.0, application=0)
