"""What goes on air for a message: packets, their bytes and air time, and the transport layer's timers.

Pure arithmetic of Core 5.4 (volume 6, part B, section 2.3) and Mesh Protocol 1.1 (sections 3.4 to 3.6).
"""

from __future__ import annotations

from typing import Final

BYTE_MS: Final = 0.008
"""LE 1M: a microsecond a bit."""

PACKET_OVERHEAD: Final = 1 + 4 + 2 + 6 + 3 + 2
"""Preamble, access address, header, advertiser's address, CRC, and the AD structure's length and type."""

NETWORK_OVERHEAD: Final = 9
"""IVI and NID, CTL and TTL, SEQ, SRC, DST."""

UNSEGMENTED_MAX: Final = 11
"""Bytes of an access message in one packet."""

SEGMENT: Final = 12
ACCESS_MIC: Final = 4

SEGMENT_INTERVAL_MS: Final = 60.0
"""From one segment to the next: SAR Segment Interval Step 5 (4.2.47.1)."""

SEGMENT_RETRIES: Final = 2
"""Times that missing segments are sent again: SAR Unicast and Multicast Retransmissions Count 2 (4.2.47)."""

UNICAST_RETRY_MS: Final = 200.0
UNICAST_RETRY_PER_HOP_MS: Final = 50.0
MULTICAST_RETRY_MS: Final = 250.0

ACKNOWLEDGEMENT_SEGMENTS: Final = 2.5
"""The receiver acknowledges after this many segment intervals at most (4.2.48.2)."""

GROUP_RESPONSE_MS: Final = (20.0, 500.0)
"""Responses to a group's address are spread at random over this time (3.7.3.1)."""


def segments(payload_bytes: int) -> int:
    """Packets that an access message of so many bytes takes (3.5.2)."""
    if payload_bytes <= UNSEGMENTED_MAX:
        return 1
    return -(-(payload_bytes + ACCESS_MIC) // SEGMENT)


def retry_ms(ttl: int) -> float:
    """From the last segment to a unicast address until missing ones are sent again."""
    return UNICAST_RETRY_MS + UNICAST_RETRY_PER_HOP_MS * max(ttl - 1, 0)


def last_packet_bytes(payload_bytes: int) -> int:
    """Bytes on air of the message's last packet, which is the only one of an unsegmented message."""
    count = segments(payload_bytes)
    if count == 1:
        return _access_packet(1 + payload_bytes + ACCESS_MIC)
    return _access_packet(4 + payload_bytes + ACCESS_MIC - (count - 1) * SEGMENT)


def _access_packet(lower_transport_bytes: int) -> int:
    return PACKET_OVERHEAD + NETWORK_OVERHEAD + lower_transport_bytes + 4


FULL_SEGMENT_BYTES: Final = _access_packet(4 + SEGMENT)
ACKNOWLEDGEMENT_BYTES: Final = PACKET_OVERHEAD + NETWORK_OVERHEAD + 7 + 8
"""A segment acknowledgement: seven bytes of control message, and the longer MIC (3.5.2.3.1)."""
LONGEST_BYTES: Final = max(FULL_SEGMENT_BYTES, ACKNOWLEDGEMENT_BYTES)
SHORTEST_BYTES: Final = _access_packet(1 + 1 + ACCESS_MIC)

TYPICAL_BYTES: Final = _access_packet(1 + 8 + ACCESS_MIC)
"""A reading or a command in one packet."""
