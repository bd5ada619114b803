"""Taking a bounded byte string apart from its start. For data whose layout depends on what came before."""

from __future__ import annotations

import struct

from common.errors import Rejected, RejectReason


class Pieces:
    """What is left of `data`; true while something is."""

    __slots__ = ("_at", "_data", "_what")

    def __init__(self, data: bytes, what: str) -> None:
        self._data = data
        self._what = what
        self._at = 0

    def __bool__(self) -> bool:
        return self._at < len(self._data)

    def take(self, size: int) -> bytes:
        """The next bytes. Raises Rejected(TRUNCATED)."""
        end = self._at + size
        if end > len(self._data):
            raise Rejected(RejectReason.TRUNCATED, f"{self._what} of {len(self._data)} bytes is cut short")
        piece, self._at = self._data[self._at : end], end
        return piece

    def number(self, size: int) -> int:
        """The next unsigned number, little endian. Raises Rejected(TRUNCATED)."""
        return int.from_bytes(self.take(size), "little")

    def unpack(self, layout: struct.Struct) -> tuple[int, ...]:
        """The next fields. Raises Rejected(TRUNCATED)."""
        return layout.unpack(self.take(layout.size))
