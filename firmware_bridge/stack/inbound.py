"""The receiving half of a node: from network PDUs to messages, copies and replays left out."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import Final, NamedTuple

from common.errors import Rejected, RejectReason
from common.mesh.addresses import ALL_NODES, is_unicast
from firmware_bridge.stack import control, lower, network, upper
from firmware_bridge.stack.events import AccessReceived, HeartbeatReceived
from firmware_bridge.stack.keyring import Keyring
from firmware_bridge.stack.keys import NetworkKey
from firmware_bridge.stack.lower import Access, AccessSegment, Control, ControlSegment, Segment, SegmentAck
from firmware_bridge.stack.network import NetworkPdu
from firmware_bridge.stack.reassembly import Arrival, Reassembler, Whole
from firmware_bridge.stack.replay import ReplayList
from firmware_bridge.stack.upper import TransportKey

CACHE: Final = 256
"""Network PDUs remembered, so that copies over several relays are processed once (3.4.6.5)."""


class Acknowledged(NamedTuple):
    """An acknowledgement of a message of ours (3.5.2.3.1)."""

    source: int
    ack: SegmentAck


Taken = AccessReceived | HeartbeatReceived | Acknowledged | None


class _Sealed(NamedTuple):
    """An upper transport access PDU before its key is known. `sequence` is SeqAuth's, `latest` the last."""

    aid: int | None
    upper: bytes
    source: int
    destination: int
    ttl: int
    net_index: int
    iv_index: int
    sequence: int
    latest: int
    long_mic: bool


class Inbound:
    """What one element receives (3.4.6, 3.5.3, 3.6.4.2): for its address, its `groups`, and the labels of
    the keyring."""

    def __init__(
        self,
        address: int,
        keyring: Keyring,
        groups: set[int],
        replay: ReplayList,
        reassembler: Reassembler,
    ) -> None:
        self._address = address
        self._keyring = keyring
        self._groups = groups
        self._replay = replay
        self._reassembler = reassembler
        self._cache: OrderedDict[tuple[int, int, int], None] = OrderedDict()

    def take(self, data: bytes, iv_index: int, now: float) -> Taken:
        """What a network PDU brings, None for nothing (3.4.6.3). `iv_index` is the network's.

        Raises Rejected for bytes that no node may send, and for replays.
        """
        index = network.receive_iv_index(data, iv_index)
        for key in self._keyring.network_keys(network.nid_of(data)):
            pdu = network.open_sealed(data, key.credentials, index)
            if pdu is not None:
                return None if self._is_copy(pdu, index) else self._deliver(pdu, key, index, now)
        return None

    def _is_copy(self, pdu: NetworkPdu, iv_index: int) -> bool:
        """Whether this PDU came before, over another relay, or is our own."""
        key = (pdu.source, iv_index, pdu.sequence)
        if pdu.source == self._address or key in self._cache:
            return True
        self._cache[key] = None
        if len(self._cache) > CACHE:
            self._cache.popitem(last=False)
        return False

    def _is_for_us(self, destination: int) -> bool:
        return (
            destination == self._address
            or destination == ALL_NODES
            or destination in self._groups
            or destination in self._keyring.labels
        )

    def _deliver(self, pdu: NetworkPdu, key: NetworkKey, iv_index: int, now: float) -> Taken:
        if not self._is_for_us(pdu.destination):
            return None
        inner = lower.parse(pdu.transport, pdu.control)
        if isinstance(inner, (AccessSegment, ControlSegment)):
            return self._take_segment(inner, pdu, key, iv_index, now)
        if not self._replay.is_new(pdu.source, iv_index, pdu.sequence):
            raise Rejected(RejectReason.REPLAYED, f"number {pdu.sequence} of 0x{pdu.source:04x}")
        if isinstance(inner, Access):
            return self._take_access(
                _Sealed(
                    inner.aid, inner.upper, pdu.source, pdu.destination, pdu.ttl, key.index, iv_index,
                    pdu.sequence, pdu.sequence, False,
                )
            )  # fmt: skip
        self._replay.accept(pdu.source, iv_index, pdu.sequence)
        if isinstance(inner, SegmentAck):
            return Acknowledged(pdu.source, inner) if pdu.destination == self._address else None
        return _control(inner, pdu.source, pdu.destination, pdu.ttl)

    def _take_segment(
        self, segment: Segment, pdu: NetworkPdu, key: NetworkKey, iv_index: int, now: float
    ) -> Taken:
        arrival = Arrival(
            segment, pdu.source, pdu.destination, pdu.sequence, iv_index, pdu.ttl,
            is_unicast(pdu.destination), key.index,
        )  # fmt: skip
        known = self._reassembler.knows(arrival)
        if not known and not self._replay.is_new(pdu.source, iv_index, pdu.sequence):
            raise Rejected(RejectReason.REPLAYED, f"segment {pdu.sequence} of 0x{pdu.source:04x}")
        whole = self._reassembler.take(arrival, now)
        return None if whole is None else self._take_whole(whole, key)

    def _take_whole(self, whole: Whole, key: NetworkKey) -> Taken:
        head = whole.head
        if isinstance(head, AccessSegment):
            return self._take_access(
                _Sealed(
                    head.aid, whole.upper, whole.source, whole.destination, whole.ttl, key.index,
                    whole.iv_index, whole.sequence, whole.latest, head.long_mic,
                )
            )  # fmt: skip
        self._replay.accept(whole.source, whole.iv_index, whole.latest)
        return _control(Control(head.opcode, whole.upper), whole.source, whole.destination, whole.ttl)

    def _take_access(self, sealed: _Sealed) -> AccessReceived | None:
        """Try the keys and labels that may be meant; None when none of ours is."""
        for application, key in self._keys(sealed):
            for label in self._labels(sealed.destination):
                payload = upper.decrypt(
                    sealed.upper,
                    key,
                    sealed.sequence,
                    sealed.source,
                    sealed.destination,
                    sealed.iv_index,
                    long_mic=sealed.long_mic,
                    label=label,
                )
                if payload is not None:
                    self._replay.accept(sealed.source, sealed.iv_index, sealed.latest)
                    return AccessReceived(
                        sealed.source,
                        sealed.destination,
                        payload,
                        application,
                        sealed.net_index,
                        sealed.ttl,
                        label,
                    )
        return None

    def _labels(self, destination: int) -> list[bytes] | list[None]:
        return self._keyring.labels.get(destination, []) if upper.is_virtual(destination) else [None]

    def _keys(self, sealed: _Sealed) -> Iterator[tuple[int | None, TransportKey]]:
        """A device key is the sender's, who answers our Config messages, or our own."""
        if sealed.aid is not None:
            for key in self._keyring.application_keys(sealed.aid, sealed.net_index):
                yield key.index, key
        else:
            for address in (sealed.source, self._address):
                if (device := self._keyring.devices.get(address)) is not None:
                    yield None, device


def _control(pdu: Control, source: int, destination: int, ttl: int) -> HeartbeatReceived | None:
    message = control.parse(pdu)
    if not isinstance(message, control.Heartbeat):
        return None
    hops = message.hops(ttl)
    if not 1 <= hops <= network.MAX_TTL + 1:
        raise Rejected(RejectReason.OUT_OF_RANGE, f"a heartbeat over {hops} hops")
    return HeartbeatReceived(source, destination, hops, message.features)
