"""What the outbox was given and has not committed yet: envelopes and tombstones in memory. Pure."""

from __future__ import annotations

from collections import deque
from typing import Final

from common.codec import decode_table, rows
from common.errors import Rejected
from common.messages import MEASUREMENTS
from edge_agent.share.outbox_rows import Entry, size_of
from edge_agent.share.tombstones import Cause, Tombstone

GROUP_ROWS: Final = 100
GROUP_BYTES: Final = 256 * 1024
GROUP_S: Final = 0.1


class Waiting:
    """Entries in order of sequence, and the tombstones of those given up among them."""

    def __init__(self) -> None:
        self.entries: deque[Entry] = deque()
        self.graves: list[Tombstone] = []
        self.bytes = 0
        self.event_bytes = 0
        """The part of `bytes` that is not raw telemetry."""
        self._since = 0.0

    def __bool__(self) -> bool:
        return bool(self.entries or self.graves)

    def add(self, entry: Entry, now: float) -> None:
        """Take an entry; `now` is monotonic."""
        if not self.entries:
            self._since = now
        self.entries.append(entry)
        self.bytes += size_of(entry)
        self.event_bytes += 0 if entry.kind in MEASUREMENTS else size_of(entry)

    def bury(self, grave: Tombstone) -> None:
        """Take a tombstone."""
        self.graves.append(grave)

    def is_full(self, now: float) -> bool:
        """Whether the group is due: large enough, or old enough."""
        enough = len(self.entries) >= GROUP_ROWS or self.bytes >= GROUP_BYTES
        return enough or (bool(self.entries) and now - self._since >= GROUP_S)

    def drop_telemetry(self) -> Entry | None:
        """Take out the oldest raw telemetry; None when there is none."""
        raw = next((entry for entry in self.entries if entry.kind in MEASUREMENTS), None)
        if raw is not None:
            self.entries.remove(raw)
            self.bytes -= size_of(raw)
        return raw

    def clear(self) -> None:
        """Forget everything: it is committed."""
        self.entries.clear()
        self.graves = []
        self.bytes = self.event_bytes = 0


def grave_of(entry: Entry) -> Tombstone:
    """The tombstone of telemetry that the full outbox gives up."""
    try:
        count = rows(decode_table(entry.body))
    except Rejected:
        count = 0
    return Tombstone(entry.sequence, entry.sequence, entry.kind, count, Cause.FULL, entry.time)
