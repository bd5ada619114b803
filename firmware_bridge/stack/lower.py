"""Lower transport PDUs: headers of segmented and unsegmented messages, and acknowledgements (3.5.2).

Splitting and counting only; who sends and waits when is in `sending` and `reassembly`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from common.errors import Rejected, RejectReason

SEGMENT_ACCESS_BYTES: Final = 12
SEGMENT_CONTROL_BYTES: Final = 8
MAX_SEGMENTS: Final = 32
UNSEGMENTED_ACCESS_BYTES: Final = 15
UNSEGMENTED_CONTROL_BYTES: Final = 11
MIN_UPPER_ACCESS_BYTES: Final = 5
"""An opcode of one byte and a MIC of four."""

SEGMENT_ACK: Final = 0x00
SEQ_ZERO_MASK: Final = 0x1FFF
MAX_BLOCK: Final = 0xFFFF_FFFF


@dataclass(frozen=True, slots=True)
class Access:
    """An unsegmented access message (3.5.2.1). `aid` is None where the device key encrypts."""

    aid: int | None
    upper: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class AccessSegment:
    """One segment of an access message (3.5.2.2). `long_mic` is SZMIC: a MIC of 8 bytes."""

    aid: int | None
    long_mic: bool
    seq_zero: int
    offset: int
    last: int
    segment: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Control:
    """An unsegmented control message (3.5.2.3) with any opcode but that of an acknowledgement."""

    opcode: int
    parameters: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class ControlSegment:
    """One segment of a control message (3.5.2.4)."""

    opcode: int
    seq_zero: int
    offset: int
    last: int
    segment: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class SegmentAck:
    """Which segments arrived (3.5.2.3.1): bit i of `block` stands for segment i, 0 says that the message is
    given up. `on_behalf` is OBO: a Friend answers for its Low Power node."""

    seq_zero: int
    block: int
    on_behalf: bool = False


Segment: TypeAlias = "AccessSegment | ControlSegment"
LowerPdu: TypeAlias = "Access | AccessSegment | Control | ControlSegment | SegmentAck"


def parse(transport: bytes, control: bool) -> LowerPdu:
    """The PDU in the transport field of a network PDU; `control` is its CTL (3.5.2).

    Raises Rejected (TRUNCATED, OVERSIZED, INVALID) and nothing else, whatever the bytes.
    """
    if not transport:
        raise Rejected(RejectReason.TRUNCATED, "an empty transport PDU")
    segmented = bool(transport[0] & 0x80)
    if control:
        return _control_segment(transport) if segmented else _control(transport)
    return _access_segment(transport) if segmented else _access(transport)


def build(pdu: LowerPdu) -> bytes:
    """The transport field of a network PDU (3.5.2). Raises Rejected (OVERSIZED, OUT_OF_RANGE)."""
    match pdu:
        case Access(aid, upper):
            _check_size(len(upper), UNSEGMENTED_ACCESS_BYTES)
            return bytes((_key_bits(aid),)) + upper
        case AccessSegment(aid, long_mic, seq_zero, offset, last, segment):
            _check_size(len(segment), SEGMENT_ACCESS_BYTES)
            return bytes((0x80 | _key_bits(aid),)) + _counts(long_mic, seq_zero, offset, last) + segment
        case Control(opcode, parameters):
            _check_size(len(parameters), UNSEGMENTED_CONTROL_BYTES)
            return bytes((_opcode_bits(opcode),)) + parameters
        case ControlSegment(opcode, seq_zero, offset, last, segment):
            _check_size(len(segment), SEGMENT_CONTROL_BYTES)
            return bytes((0x80 | _opcode_bits(opcode),)) + _counts(False, seq_zero, offset, last) + segment
        case SegmentAck(seq_zero, block, on_behalf):
            if not (0 <= block <= MAX_BLOCK and 0 <= seq_zero <= SEQ_ZERO_MASK):
                raise Rejected(RejectReason.OUT_OF_RANGE, f"SeqZero {seq_zero}, a BlockAck of {block:#x}")
            head = on_behalf << 15 | seq_zero << 2
            return bytes((SEGMENT_ACK,)) + head.to_bytes(2, "big") + block.to_bytes(4, "big")


def segments_of_access(upper: bytes, aid: int | None, long_mic: bool, sequence: int) -> list[AccessSegment]:
    """Cut an upper transport access PDU (3.5.3.1); `sequence` is the number that it was encrypted with.

    Raises Rejected(OVERSIZED) above 384 bytes.
    """
    parts = _cut(upper, SEGMENT_ACCESS_BYTES)
    zero, last = sequence & SEQ_ZERO_MASK, len(parts) - 1
    return [AccessSegment(aid, long_mic, zero, i, last, part) for i, part in enumerate(parts)]


def segments_of_control(parameters: bytes, opcode: int, sequence: int) -> list[ControlSegment]:
    """Cut the parameters of a control message (3.5.3.1). Raises Rejected(OVERSIZED) above 256 bytes."""
    parts = _cut(parameters, SEGMENT_CONTROL_BYTES)
    zero, last = sequence & SEQ_ZERO_MASK, len(parts) - 1
    return [ControlSegment(opcode, zero, i, last, part) for i, part in enumerate(parts)]


def join(segments: Sequence[Segment]) -> bytes:
    """The upper transport PDU of all segments of a message, in order (3.5.3.1)."""
    return b"".join(segment.segment for segment in segments)


def first_sequence(sequence: int, seq_zero: int) -> int:
    """The sequence number that belongs to SeqAuth: the greatest up to `sequence` that ends in `seq_zero`
    (3.5.3.1). Raises Rejected(OUT_OF_RANGE) when there is none."""
    first = sequence - ((sequence - seq_zero) & SEQ_ZERO_MASK)
    if first < 0:
        raise Rejected(RejectReason.OUT_OF_RANGE, f"SeqZero {seq_zero} before sequence number 0")
    return first


def full_block(last: int) -> int:
    """The BlockAck of all segments up to number `last` (3.5.2.3.1)."""
    return (1 << last + 1) - 1


def _access(transport: bytes) -> Access:
    upper = transport[1:]
    if not MIN_UPPER_ACCESS_BYTES <= len(upper) <= UNSEGMENTED_ACCESS_BYTES:
        short = len(upper) < MIN_UPPER_ACCESS_BYTES
        raise Rejected(
            RejectReason.TRUNCATED if short else RejectReason.OVERSIZED,
            f"an access PDU of {len(upper)} bytes",
        )
    return Access(_aid(transport[0]), upper)


def _access_segment(transport: bytes) -> AccessSegment:
    long_mic, zero, offset, last = _parse_counts(transport, SEGMENT_ACCESS_BYTES)
    return AccessSegment(_aid(transport[0]), long_mic, zero, offset, last, transport[4:])


def _control(transport: bytes) -> Control | SegmentAck:
    if transport[0] != SEGMENT_ACK:
        _check_size(len(transport) - 1, UNSEGMENTED_CONTROL_BYTES)
        return Control(transport[0] & 0x7F, transport[1:])
    if len(transport) != 7:
        reason = RejectReason.TRUNCATED if len(transport) < 7 else RejectReason.OVERSIZED
        raise Rejected(reason, f"a segment acknowledgement of {len(transport)} bytes")
    head = transport[1] << 8 | transport[2]
    return SegmentAck(head >> 2 & SEQ_ZERO_MASK, int.from_bytes(transport[3:], "big"), head >= 0x8000)


def _control_segment(transport: bytes) -> ControlSegment:
    if transport[0] & 0x7F == SEGMENT_ACK:
        # An acknowledgement fits one PDU: nobody sends it in segments.
        raise Rejected(RejectReason.INVALID, "a segmented segment acknowledgement")
    _, zero, offset, last = _parse_counts(transport, SEGMENT_CONTROL_BYTES)
    return ControlSegment(transport[0] & 0x7F, zero, offset, last, transport[4:])


def _parse_counts(transport: bytes, full: int) -> tuple[bool, int, int, int]:
    """(SZMIC, SeqZero, SegO, SegN), with the segment's size checked: only the last may be short."""
    size = len(transport) - 4
    if size < 1:
        raise Rejected(RejectReason.TRUNCATED, f"a segment of {len(transport)} bytes")
    _check_size(size, full)
    bits = transport[1] << 16 | transport[2] << 8 | transport[3]
    offset, last = bits >> 5 & 0x1F, bits & 0x1F
    if offset > last or (offset < last and size != full):
        raise Rejected(RejectReason.INVALID, f"segment {offset} of {last}, {size} bytes")
    return bool(bits >> 23), bits >> 10 & SEQ_ZERO_MASK, offset, last


def _counts(long_mic: bool, seq_zero: int, offset: int, last: int) -> bytes:
    if not (0 <= offset <= last < MAX_SEGMENTS and 0 <= seq_zero <= SEQ_ZERO_MASK):
        raise Rejected(RejectReason.OUT_OF_RANGE, f"SeqZero {seq_zero}, segment {offset} of {last}")
    return (long_mic << 23 | seq_zero << 10 | offset << 5 | last).to_bytes(3, "big")


def _aid(first: int) -> int | None:
    """AID where AKF is set. Without it the device key encrypts, and the AID field is to be zero; it is not
    looked at, as the key decides anyway."""
    return first & 0x3F if first & 0x40 else None


def _key_bits(aid: int | None) -> int:
    if aid is None:
        return 0
    if not 0 <= aid <= 0x3F:
        raise Rejected(RejectReason.OUT_OF_RANGE, f"AID {aid}")
    return 0x40 | aid


def _opcode_bits(opcode: int) -> int:
    if not 0 < opcode <= 0x7F:
        raise Rejected(RejectReason.OUT_OF_RANGE, f"control opcode {opcode}")
    return opcode


def _cut(data: bytes, size: int) -> list[bytes]:
    parts = [data[i : i + size] for i in range(0, len(data), size)]
    if not 0 < len(parts) <= MAX_SEGMENTS:
        raise Rejected(RejectReason.OVERSIZED, f"{len(data)} bytes do not fit {MAX_SEGMENTS} segments")
    return parts


def _check_size(size: int, most: int) -> None:
    if size > most:
        raise Rejected(RejectReason.OVERSIZED, f"{size} bytes, at most {most}")
