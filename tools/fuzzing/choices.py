"""Makes decisions out of a fuzzer's bytes, so that a mutated byte changes one decision."""

from __future__ import annotations


class Choices:
    """Reads `data` from the front; at its end everything is zero, and `__bool__` says so."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def __bool__(self) -> bool:
        return self._at < len(self._data)

    def octets(self, count: int) -> bytes:
        """At most `count` bytes: fewer at the end."""
        taken = self._data[self._at : self._at + count]
        self._at += count
        return taken

    def number(self, size: int) -> int:
        """A number of `size` bytes."""
        return int.from_bytes(self.octets(size), "big")

    def sized(self) -> bytes:
        """Bytes behind a byte that tells how many."""
        return self.octets(self.number(1))

    def rest(self) -> bytes:
        """Everything left."""
        return self.octets(len(self._data))
