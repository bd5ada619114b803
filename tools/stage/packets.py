"""Just enough of MQTT 5 to load a broker cheaply: the packets that a publisher sends and gets (OASIS, 2019).

A client library takes more time per message than the coordinator under test. Knows no connection and keeps
no state; for everything that has to be robust there is paho.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from common.errors import Corrupt

CONNACK: Final = 2
PUBLISH: Final = 3
PUBACK: Final = 4
SUBACK: Final = 9

_CONNECT_FIRST: Final = 0x10
_PUBLISH_QOS_1: Final = 0x32
_SUBSCRIBE_FIRST: Final = 0x82
_PROTOCOL: Final = b"\x00\x04MQTT\x05"
_CLEAN_START: Final = 0x02
_NO_PROPERTIES: Final = b"\x00"
_FAILURES_FROM: Final = 0x80
_MOST_LENGTH_BYTES: Final = 4


def connect(client_id: str, keepalive_s: int) -> bytes:
    """CONNECT (section 3.1)."""
    flags = bytes((_CLEAN_START,)) + keepalive_s.to_bytes(2, "big")
    return _packet(_CONNECT_FIRST, _PROTOCOL + flags + _NO_PROPERTIES + _text(client_id))


def subscribe(topic: str) -> bytes:
    """SUBSCRIBE to one topic with QoS 0 (section 3.8)."""
    return _packet(_SUBSCRIBE_FIRST, b"\x00\x01" + _NO_PROPERTIES + _text(topic) + b"\x00")


def publish(topic: bytes, packet_id: int, payload: bytes) -> bytes:
    """PUBLISH with QoS 1 (section 3.3). `topic` as `_text` makes it: `topic_bytes`."""
    return _packet(_PUBLISH_QOS_1, topic + packet_id.to_bytes(2, "big") + _NO_PROPERTIES + payload)


def topic_bytes(topic: str) -> bytes:
    """A topic as it stands in a packet, made once for many."""
    return _text(topic)


def split(data: bytearray) -> Iterator[tuple[int, bytes]]:
    """Take the complete packets off the front of `data`: type and what follows the length.

    Raises Corrupt for a length that no packet has.
    """
    while len(data) >= 2:
        size, at = 0, 1
        while True:
            if at > _MOST_LENGTH_BYTES:
                raise Corrupt("this is no MQTT packet")
            if at >= len(data):
                return
            size |= (data[at] & 0x7F) << (7 * (at - 1))
            at += 1
            if not data[at - 1] & 0x80:
                break
        if len(data) < at + size:
            return
        packet = data[0] >> 4, bytes(data[at : at + size])
        del data[: at + size]
        yield packet


def failed(kind: int, body: bytes) -> bool:
    """Whether CONNACK, SUBACK or PUBACK refuses. A PUBACK of two bytes is a success (section 3.4.2.1)."""
    at = {CONNACK: 1, SUBACK: len(body) - 1, PUBACK: 2}[kind]
    return len(body) > at and body[at] >= _FAILURES_FROM


def payload_of(body: bytes) -> bytes:
    """The payload of a PUBLISH with QoS 0 and properties shorter than 128 bytes."""
    topic_end = 2 + int.from_bytes(body[:2], "big")
    return body[topic_end + 1 + body[topic_end] :]


def _packet(first: int, rest: bytes) -> bytes:
    size, length = len(rest), bytearray()
    while True:
        size, low = size >> 7, size & 0x7F
        length.append(low | (0x80 if size else 0))
        if not size:
            return bytes((first,)) + length + rest


def _text(value: str) -> bytes:
    encoded = value.encode()
    return len(encoded).to_bytes(2, "big") + encoded
