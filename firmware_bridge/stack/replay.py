"""Protection against messages that are sent again (3.9.8)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

SEQUENCE_BITS: Final = 24
MOST_SOURCES: Final = 0x7FFF
"""Every unicast address: the list never has to refuse a source for want of room."""


class ReplayList:
    """The last message accepted from each source (3.9.8): by IV index and sequence number, in one number.

    A source takes about 100 bytes. What is given to `restore` comes from `items` of an earlier run; a list
    that was lost accepts anything once, which is why its holder keeps it on disk.
    """

    def __init__(self) -> None:
        self._last: dict[int, int] = {}
        self.refused = 0

    def __len__(self) -> int:
        return len(self._last)

    def is_new(self, source: int, iv_index: int, sequence: int) -> bool:
        """Whether a message is later than everything accepted from its source (3.9.8); a replay is
        counted."""
        if _joined(iv_index, sequence) > self._last.get(source, -1):
            return True
        self.refused += 1
        return False

    def accept(self, source: int, iv_index: int, sequence: int) -> None:
        """Remember a message whose MIC was right (3.9.8). Earlier ones of its source are replays from now
        on."""
        joined = _joined(iv_index, sequence)
        if joined > self._last.get(source, -1):
            self._last[source] = joined

    def forget(self, source: int) -> None:
        """A source has left the network: its address may be given to another node (3.11.6.1)."""
        self._last.pop(source, None)

    def forget_before(self, iv_index: int) -> None:
        """Drop what no message can be a replay of any more (3.9.8, 3.11.5): older than the IV index before
        `iv_index`."""
        oldest = _joined(max(0, iv_index - 1), 0)
        self._last = {source: last for source, last in self._last.items() if last >= oldest}

    def items(self) -> Iterable[tuple[int, int, int]]:
        """(source, IV index, sequence number) of every last message, for the disk (3.9.8)."""
        return [(s, last >> SEQUENCE_BITS, last & 0xFF_FFFF) for s, last in self._last.items()]

    def restore(self, items: Iterable[tuple[int, int, int]]) -> None:
        """Take over what an earlier run accepted (3.9.8)."""
        for source, iv_index, sequence in items:
            self.accept(source, iv_index, sequence)


def _joined(iv_index: int, sequence: int) -> int:
    return iv_index << SEQUENCE_BITS | sequence
