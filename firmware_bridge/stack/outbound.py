"""The sending half of a node: from payloads to network PDUs, with segments and their acknowledgements."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from common.errors import Misconfigured, Rejected, RejectReason, Unavailable
from common.mesh.addresses import is_unicast
from firmware_bridge.stack import control, lower, network, upper
from firmware_bridge.stack.keyring import Keyring
from firmware_bridge.stack.lower import Access, ControlSegment, Segment, SegmentAck
from firmware_bridge.stack.network import NetworkPdu
from firmware_bridge.stack.reassembly import Answer
from firmware_bridge.stack.sar import SarTransmitter
from firmware_bridge.stack.sending import Outcome, SegmentedSending
from firmware_bridge.stack.sequence import SequenceNumbers
from firmware_bridge.stack.upper import TransportKey

SEGMENTED: Final = 64
"""Segmented messages under way and waiting, in all; more are refused with Unavailable."""

OUTGOING: Final = 1024
"""Network PDUs that wait for `outgoing`. When so many do, new messages are refused with Unavailable; segments
and acknowledgements, which may get lost anyway, are left out and counted."""

RETRY_S: Final = 1.0
"""After so long what could not begin, for want of sequence numbers, is tried again."""

OUTCOMES: Final = 1024
"""Outcomes kept for a holder that does not ask; the oldest go."""


@dataclass(frozen=True, slots=True, eq=False)
class Sent:
    """A message that was given to be sent (3.5.3); `segments` is 0 for one that is not acknowledged below."""

    destination: int
    segments: int


@dataclass(frozen=True, slots=True)
class Message:
    """An access message to be sent (3.6.4.1). `aid` is None under a device key; `label` a virtual
    destination's."""

    destination: int
    payload: bytes = field(repr=False)
    key: TransportKey
    aid: int | None
    net_index: int
    ttl: int
    long_mic: bool = False
    label: bytes | None = None


@dataclass(slots=True)
class _Running:
    """A segmented message under way. `first` is the number that it was encrypted with, until it was used."""

    handle: Sent
    message: Message
    sending: SegmentedSending
    iv_index: int
    first: int | None
    seq_auth: int


class Outbound:
    """What one element sends (3.4.6, 3.5.3, 3.6.4.1). `transmit_iv` gives the IV index to send with."""

    def __init__(
        self,
        address: int,
        keyring: Keyring,
        sequence: SequenceNumbers,
        transmit_iv: Callable[[], int],
        settings: SarTransmitter,
    ) -> None:
        self._address = address
        self._keyring = keyring
        self._sequence = sequence
        self._transmit_iv = transmit_iv
        self._settings = settings
        self._running: dict[int, _Running] = {}
        self._waiting: deque[tuple[Sent, Message]] = deque()
        self._retry_at: float | None = None
        self._out: deque[bytes] = deque()
        self.left_out = 0
        self._outcomes: deque[tuple[Sent, Outcome]] = deque(maxlen=OUTCOMES)

    @property
    def busy(self) -> bool:
        """Whether segmented messages are under way: the IV index must not change under them (3.11.5)."""
        return bool(self._running)

    def send(self, message: Message, segmented: bool, now: float) -> Sent:
        """Send a message (3.6.4.1); see `StackNode.send`."""
        self._check(message)
        size = len(message.payload) + (upper.LONG_MIC_BYTES if message.long_mic else upper.SHORT_MIC_BYTES)
        if not message.payload or size > upper.MAX_UPPER_BYTES:
            raise Rejected(RejectReason.OVERSIZED, f"an access payload of {len(message.payload)} bytes")
        if not (segmented or message.long_mic or upper.needs_segments(message.payload)):
            first = self._sequence.take()
            pdu = Access(message.aid, self._seal(message, first, self._transmit_iv()))
            self._transmit(lower.build(pdu), False, message, first, self._transmit_iv())
            return Sent(message.destination, 0)
        if len(self._running) + len(self._waiting) >= SEGMENTED:
            raise Unavailable(f"{SEGMENTED} segmented messages are under way already")
        handle = Sent(message.destination, -(-size // lower.SEGMENT_ACCESS_BYTES))
        if not self._is_taken(message.destination):
            self._begin(handle, message, now)
        else:
            self._waiting.append((handle, message))
        return handle

    def send_control(self, destination: int, message: control.Message, ttl: int, net_index: int) -> None:
        """Send a control message that fits one PDU (3.6.5); see `StackNode.send_control`."""
        self._check_room()
        self._send_control(lower.build(control.build(message)), destination, ttl, net_index)

    def answer(self, answer: Answer, default_ttl: int) -> None:
        """Send an acknowledgement. What came from a neighbour alone is answered the same way (3.5.2.3.1)."""
        ttl = 0 if answer.ttl == 0 else default_ttl
        self._send_control(lower.build(answer.ack), answer.destination, ttl, answer.net_index)

    def acknowledged(self, source: int, ack: SegmentAck, now: float) -> None:
        """Take in an acknowledgement of ours (3.5.3.3). A Friend sends it for its Low Power node (OBO)."""
        for destination, running in list(self._running.items()):
            if destination == source or (ack.on_behalf and running.sending.seq_zero == ack.seq_zero):
                running.sending.acknowledge(ack, now)
                self._end_if_over(destination, running)
        # Without numbers it goes on waiting: that is for `poll` to tell, not for who brought the answer.
        with suppress(Unavailable):
            self._start(now)

    def poll(self, now: float) -> None:
        """Send the segments that are due, and begin what waits (3.5.3.3). Raises Unavailable without sequence
        numbers, and nothing else; what waits goes on waiting."""
        for destination, running in list(self._running.items()):
            self._send_due(running, now)
            self._end_if_over(destination, running)
        self._start(now)

    def next_time(self) -> float | None:
        """When `poll` has something to do next (3.5.3.3)."""
        times = [running.sending.next_time for running in self._running.values()]
        return min((t for t in (*times, self._retry_at) if t is not None), default=None)

    def outgoing(self) -> list[bytes]:
        """The network PDUs made since the last call (3.4.4)."""
        taken = list(self._out)
        self._out.clear()
        return taken

    def outcomes(self) -> list[tuple[Sent, Outcome]]:
        """How segmented messages ended since the last call (3.5.3.3)."""
        taken = list(self._outcomes)
        self._outcomes.clear()
        return taken

    def abandon(self) -> None:
        """Give up the segmented messages under way, because the IV index that they were encrypted with is
        over (3.11.6): more of their segments would use its sequence numbers a second time. What waits goes
        on."""
        for destination, running in list(self._running.items()):
            running.sending.abandon()
            self._end_if_over(destination, running)

    def _check(self, message: Message) -> None:
        """Refuse at once what could not go on air later: nobody would be there to be told."""
        if not (0 < message.destination <= 0xFFFF and 0 <= message.ttl <= network.MAX_TTL):
            raise Rejected(
                RejectReason.OUT_OF_RANGE, f"destination {message.destination:#x}, TTL {message.ttl}"
            )
        upper.check_label(message.destination, message.label)
        self._keyring.transmit_key(message.net_index)
        self._check_room()

    def _check_room(self) -> None:
        if len(self._out) >= OUTGOING:
            raise Unavailable(f"{OUTGOING} PDUs wait to be transmitted")

    def _is_taken(self, destination: int) -> bool:
        return destination in self._running or any(m.destination == destination for _, m in self._waiting)

    def _start(self, now: float) -> None:
        """Begin what waits, as long as its destination is free (3.5.3.3)."""
        for waiting in list(self._waiting):
            if waiting[1].destination not in self._running:
                self._retry_at = now + RETRY_S
                self._begin(*waiting, now)
                self._waiting.remove(waiting)
        self._retry_at = None

    def _begin(self, handle: Sent, message: Message, now: float) -> None:
        """Encrypt and cut a message, and send its first segment.

        Encrypted only now: a number below those sent meanwhile would be a replay to the receiver.
        """
        first, iv_index = self._sequence.take(), self._transmit_iv()
        sealed = self._seal(message, first, iv_index)
        segments = lower.segments_of_access(sealed, message.aid, message.long_mic, first)
        unicast = is_unicast(message.destination)
        sending = SegmentedSending(segments, unicast, message.ttl, self._settings, now)
        running = _Running(handle, message, sending, iv_index, first, first)
        self._running[message.destination] = running
        self._send_due(running, now)

    def _send_due(self, running: _Running, now: float) -> None:
        if self._sequence.next - running.seq_auth > lower.SEQ_ZERO_MASK:
            # The receiver could not tell the message's first number from SeqZero any more (3.5.3.1).
            running.sending.abandon()
        for segment in running.sending.due(now):
            sequence = self._sequence.take() if running.first is None else running.first
            running.first = None
            try:
                self._send_segment(segment, running, sequence)
            except Misconfigured:
                # Its network key was taken out of the keyring meanwhile.
                running.sending.abandon()

    def _send_segment(self, segment: Segment, running: _Running, sequence: int) -> None:
        is_control = isinstance(segment, ControlSegment)
        self._transmit(lower.build(segment), is_control, running.message, sequence, running.iv_index)

    def _end_if_over(self, destination: int, running: _Running) -> None:
        if (outcome := running.sending.outcome) is not None:
            self._outcomes.append((running.handle, outcome))
            self._running.pop(destination, None)

    def _seal(self, message: Message, sequence: int, iv_index: int) -> bytes:
        return upper.encrypt(
            message.payload,
            message.key,
            sequence,
            self._address,
            message.destination,
            iv_index,
            long_mic=message.long_mic,
            label=message.label,
        )

    def _transmit(
        self, transport: bytes, is_control: bool, message: Message, sequence: int, iv_index: int
    ) -> None:
        pdu = NetworkPdu(is_control, message.ttl, sequence, self._address, message.destination, transport)
        self._put(pdu, message.net_index, iv_index)

    def _send_control(self, transport: bytes, destination: int, ttl: int, net_index: int) -> None:
        pdu = NetworkPdu(True, ttl, self._sequence.take(), self._address, destination, transport)
        self._put(pdu, net_index, self._transmit_iv())

    def _put(self, pdu: NetworkPdu, net_index: int, iv_index: int) -> None:
        credentials = self._keyring.transmit_key(net_index).credentials
        if len(self._out) >= OUTGOING:
            self.left_out += 1
            return
        self._out.append(network.seal(pdu, credentials, iv_index))
