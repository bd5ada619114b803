"""How an envelope and a tombstone lie in the outbox file: columns, checksums, and what is told of a lost one.

`outbox_file` does the reading and writing.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from zlib import crc32

from common.messages import MEASUREMENTS, Kind, encode
from edge_agent.share.tombstones import UNKNOWN, Cause, Tombstone

# What a row costs beside its body, roughly: key, columns, its share of the b-tree.
ROW_OVERHEAD_BYTES: Final = 64

SCHEMA: Final = (
    "CREATE TABLE IF NOT EXISTS state (one INTEGER PRIMARY KEY, packed BLOB, crc INTEGER)",
    "CREATE TABLE IF NOT EXISTS rows"
    " (sequence INTEGER PRIMARY KEY, time REAL, kind TEXT, body BLOB, crc INTEGER)",
    "CREATE TABLE IF NOT EXISTS tombstones"
    " (first INTEGER PRIMARY KEY, last INTEGER, kind TEXT, rows INTEGER, cause TEXT, time REAL, crc INTEGER)",
)
TELEMETRY: Final = "kind IN (" + ", ".join(f"'{kind.value}'" for kind in sorted(MEASUREMENTS)) + ")"

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_STATE = struct.Struct("<Qqqq16s")
_ROW_HEAD = struct.Struct("<qd")


@dataclass(frozen=True, slots=True)
class Entry:
    """One envelope of the stream, without what every envelope of a gateway shares."""

    sequence: int
    time: float
    kind: str
    body: bytes


@dataclass(frozen=True, slots=True)
class State:
    """Where the stream stands. `reserved` is at least every sequence that may have left the gateway;
    `boot` names the machine's run in which this was written."""

    epoch: int
    acked: int = 0
    head: int = 0
    reserved: int = 0
    boot: bytes = bytes(16)

    def packed(self) -> tuple[bytes, int]:
        """The bytes on disk and their checksum."""
        packed = _STATE.pack(self.epoch, self.acked, self.head, self.reserved, self.boot)
        return packed, crc32(packed)


@dataclass(frozen=True, slots=True)
class Usage:
    """Bytes held, overheads included, by raw telemetry and by everything else."""

    telemetry: int = 0
    events: int = 0

    def __sub__(self, other: Usage) -> Usage:
        return Usage(self.telemetry - other.telemetry, self.events - other.events)

    def __add__(self, other: Usage) -> Usage:
        return Usage(self.telemetry + other.telemetry, self.events + other.events)


def boot_id() -> bytes:
    """Sixteen bytes that name this run of the machine; zeros where it has no such name."""
    try:
        return bytes.fromhex(_BOOT_ID.read_text().strip().replace("-", ""))
    except (OSError, ValueError):
        return bytes(16)


def size_of(entry: Entry) -> int:
    """Bytes that an entry counts for."""
    return len(entry.body) + ROW_OVERHEAD_BYTES


def cost(entry: Entry) -> Usage:
    """What an entry takes of which share."""
    return Usage(size_of(entry), 0) if entry.kind in MEASUREMENTS else Usage(0, size_of(entry))


def state_of(packed: object, crc: object) -> State | None:
    """The state that was packed; None when it fails its checks."""
    if not isinstance(packed, bytes) or len(packed) != _STATE.size or crc != crc32(packed):
        return None
    state = State(*_STATE.unpack(packed))
    return state if 0 <= state.acked <= state.head <= state.reserved else None


def row_of(entry: Entry) -> tuple[int, float, str, bytes, int]:
    """The columns of an entry, its checksum last."""
    crc = _row_crc(entry.sequence, entry.time, entry.kind, entry.body)
    return (entry.sequence, entry.time, entry.kind, entry.body, crc)


def entry_of(row: Sequence[Any]) -> Entry | None:
    """The entry in a row; None when it fails its check."""
    match row:
        case (int(sequence), float(time), str(kind), bytes(body), int(crc)):
            return Entry(sequence, time, kind, body) if _row_crc(sequence, time, kind, body) == crc else None
    return None


def carved(stone: Tombstone) -> tuple[object, ...]:
    """The columns of a tombstone, its checksum last."""
    values = (stone.first, stone.last, stone.kind, stone.rows, str(stone.cause), stone.time)
    return (*values, crc32(repr(values).encode()))


def tombstone_of(row: Sequence[Any]) -> Tombstone | None:
    """The tombstone in a row; None when it fails its check."""
    match row:
        case (int(first), int(last), str(kind), int(rows), str(cause), float(time), int(crc)):
            values = (first, last, kind, rows, cause, time)
            return Tombstone(*values) if crc32(repr(values).encode()) == crc else None
    return None


def told(sequence: int, row: Sequence[Any] | None, stones: Sequence[Tombstone]) -> Entry | None:
    """What the stream says at `sequence`, from its row or a tombstone; None when both fail."""
    if row is not None:
        return entry_of(row)
    for stone in stones:
        if stone.first <= sequence <= stone.last:
            return Entry(sequence, stone.time, Kind.DROPPED.value, encode(stone.body_of(sequence)))
    return None


def lost(sequence: int, time: float) -> Entry:
    """What is told of an entry that the disk destroyed; `time` is a neighbour's."""
    stone = Tombstone(sequence, sequence, UNKNOWN, 0, Cause.CORRUPT, time)
    return Entry(sequence, time, Kind.DROPPED.value, encode(stone.body_of(sequence)))


def _row_crc(sequence: int, time: float, kind: str, body: bytes) -> int:
    return crc32(body, crc32(_ROW_HEAD.pack(sequence, time) + kind.encode("utf-8", "replace")))
