"""What a node that holds the network's keys can send to harm another: each attack as a stream of PDUs.

The attacker is a member: its PDUs have right MICs, and sources of its choice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count, cycle, islice
from random import Random
from typing import Final, NamedTuple, TypeAlias

from firmware_bridge.stack import beacons, lower, network, upper
from firmware_bridge.stack.beacons import NetworkBeacon
from firmware_bridge.stack.iv_index import IvState
from firmware_bridge.stack.keyring import Keyring
from firmware_bridge.stack.keys import DeviceKey
from firmware_bridge.stack.lower import AccessSegment, ControlSegment, LowerPdu, SegmentAck
from firmware_bridge.stack.network import MAX_IV_INDEX, NetworkPdu
from firmware_bridge.stack.node import StackNode

VICTIM: Final = 0x0001
HONEST: Final = 0x0010
ATTACKER: Final = 0x0666
IV: Final = 5
_NET: Final = bytes(range(16))
_APP: Final = bytes(range(16, 32))
_DEVICES: Final = {VICTIM: bytes([1] * 16), HONEST: bytes([2] * 16)}


class Hostile(NamedTuple):
    """One thing that arrives: a network PDU, or a beacon."""

    data: bytes
    is_beacon: bool = False


Attack: TypeAlias = "Callable[[Random], Iterator[Hostile]]"


def keyring() -> Keyring:
    """What every member of the network knows, and the device keys of two."""
    return Keyring.of({0: _NET}, {0: (_APP, 0)}, _DEVICES)


def member(address: int) -> StackNode:
    """A well-behaved node of the network."""
    return StackNode(address, keyring(), IvState(IV), 0, lambda iv, limit: None)


_RING: Final = keyring()
_CREDENTIALS: Final = _RING.transmit_key(0).credentials
_KEY: Final = _RING.application(0)


def _pdu(
    inner: LowerPdu | bytes, sequence: int, source: int = ATTACKER, destination: int = VICTIM
) -> Hostile:
    control = isinstance(inner, (lower.Control, ControlSegment, SegmentAck))
    transport = inner if isinstance(inner, bytes) else lower.build(inner)
    pdu = NetworkPdu(control, 5, sequence & 0xFF_FFFF, source, destination, transport)
    return Hostile(network.seal(pdu, _CREDENTIALS, IV))


def _message(sequence: int, payload: bytes = b"\x82\x01\x00\x00", source: int = ATTACKER) -> Hostile:
    body = upper.encrypt(payload, _KEY, sequence & 0xFF_FFFF, source, VICTIM, IV)
    return _pdu(lower.Access(_KEY.aid, body), sequence, source)


def flood(random: Random) -> Iterator[Hostile]:
    """Messages without end, from every address there is."""
    return (_message(number, source=1 + number * 7 % 0x7FFE) for number in count())


def replayed(random: Random) -> Iterator[Hostile]:
    """A recording longer than the message cache, over and over."""
    return cycle(list(islice(flood(random), 1000)))


def forged(random: Random) -> Iterator[Hostile]:
    """The network's NID with random bytes behind it: what anybody can send without a key."""
    while True:
        yield Hostile(bytes((0x80 | _CREDENTIALS.nid,)) + random.randbytes(28))


def for_others(random: Random) -> Iterator[Hostile]:
    """Traffic between other nodes, which every node has to open before it knows."""
    return (_pdu(bytes(8), number, destination=0x0777) for number in count())


def never_finished(random: Random) -> Iterator[Hostile]:
    """First segments of the longest messages, each from another source."""
    for number in count():
        segment = AccessSegment(_KEY.aid, False, number & lower.SEQ_ZERO_MASK, 0, 31, bytes(12))
        yield _pdu(segment, number, 1 + number % 0x7FFE)


def one_missing(random: Random) -> Iterator[Hostile]:
    """Whole messages of 32 segments but for one, of a few sources, one message after the other."""
    for message in count():
        base = message * 40
        for offset in range(31):
            segment = AccessSegment(_KEY.aid, False, base & lower.SEQ_ZERO_MASK, offset, 31, bytes(12))
            yield _pdu(segment, base + offset, 0x100 + message % 50)


def contradicting(random: Random) -> Iterator[Hostile]:
    """Segments of one message that disagree on its length, its key and its kind."""
    for number in count():
        last = random.randrange(32)
        part = bytes(12) if random.random() < 0.5 else bytes(8)
        segment: LowerPdu = (
            AccessSegment(random.randrange(64), random.random() < 0.5, 7, last, last, part)
            if len(part) == 12
            else ControlSegment(0x0A, 7, last, last, part)
        )
        yield _pdu(segment, 7 + number % 8192)


def absurd_seq_zero(random: Random) -> Iterator[Hostile]:
    """Segments whose SeqZero points anywhere, also before the first number."""
    for number in count():
        segment = AccessSegment(None, False, random.randrange(1 << 13), 0, 3, bytes(12))
        yield _pdu(segment, number % 9000, random.choice((ATTACKER, HONEST, 0x0020)))


def whole_and_again(random: Random) -> Iterator[Hostile]:
    """Segmented messages of one segment: each wants an acknowledgement, and its repetition another."""
    for number in count():
        segment = AccessSegment(_KEY.aid, False, number * 2 & lower.SEQ_ZERO_MASK, 0, 0, random.randbytes(12))
        yield _pdu(segment, number * 2)
        yield _pdu(segment, number * 2 + 1)


def foreign_acks(random: Random) -> Iterator[Hostile]:
    """Acknowledgements of anything, also in a friend's name."""
    for number in count():
        ack = SegmentAck(random.randrange(64), random.getrandbits(32), random.random() < 0.5)
        yield _pdu(ack, number, random.choice((ATTACKER, 0x0011)))


def control_garbage(random: Random) -> Iterator[Hostile]:
    """Control messages of every opcode with any parameters."""
    for number in count():
        opcode = 1 + random.randrange(127)
        yield _pdu(lower.Control(opcode, random.randbytes(random.randrange(11))), number)


def configuration_spam(random: Random) -> Iterator[Hostile]:
    """Configuration under the victim's own device key: any opcode, any parameters."""
    key = DeviceKey(_DEVICES[VICTIM])
    for number in count():
        payload = b"\x80" + random.randbytes(random.randrange(1, 10))
        body = upper.encrypt(payload, key, number & 0xFF_FFFF, ATTACKER, VICTIM, IV)
        yield _pdu(lower.Access(None, body), number)


def far_beacons(random: Random) -> Iterator[Hostile]:
    """Authentic beacons with IV indices far ahead, just ahead, and behind."""
    key = _RING.transmit_key(0)
    for _ in count():
        index = random.choice((MAX_IV_INDEX, IV + 42, IV + 43, IV + 1, IV - 1, random.getrandbits(32)))
        said = NetworkBeacon(index, random.random() < 0.5, random.random() < 0.5)
        secure = random.random() < 0.5
        built = (
            beacons.build_secure(said, key)
            if secure
            else beacons.build_private(said, key, random.randbytes(13))
        )
        yield Hostile(built, is_beacon=True)


ATTACKS: Final[dict[str, Attack]] = {
    attack.__name__: attack
    for attack in (
        flood,
        replayed,
        forged,
        for_others,
        never_finished,
        one_missing,
        contradicting,
        absurd_seq_zero,
        whole_and_again,
        foreign_acks,
        control_garbage,
        configuration_spam,
        far_beacons,
    )
}


def suffer(victim: StackNode, pdus: list[Hostile], now: float, per_s: float = 1000.0) -> float:
    """Let a node take what an attacker sends, `per_s` PDUs a second, as its driver would; the time after."""
    for data, is_beacon in pdus:
        now += 1 / per_s
        if is_beacon:
            victim.beacon(data, now)
        else:
            victim.receive(data, now)
        due = victim.next_time()
        if due is not None and due <= now:
            victim.poll(now)
        victim.outgoing()
    return now
